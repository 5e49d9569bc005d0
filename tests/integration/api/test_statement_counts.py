"""What a request costs, in SQL statements. A number that grows here is a price that every request pays."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from payouts.models import Payout
from tests.support import factories, rolling

# The key with its merchant; all else is the operation's own.
AUTHENTICATION = 1
# Why what is pending waits: the pauses and the open circuits. Read once for all that is shown, and only where something
# of it is pending. What is created has nothing to wait for yet.
HOLDS = 1


@pytest.fixture
def warm_api(api: Client) -> Client:
    """acme's backend, whose key was used within the last minute, as it is for all requests but one a minute."""
    api.get("/api/me/")
    return api


def statements(request: Callable[[], Any]) -> list[str]:
    """Return the statements of the request, without those that begin and end its transactions."""
    with CaptureQueriesContext(connection) as queries:
        request()
    marks = ("BEGIN", "SAVEPOINT", "RELEASE SAVEPOINT", "COMMIT")
    return [query["sql"] for query in queries if not query["sql"].startswith(marks)]


class TestStatementCounts:
    def test_of_post_without_key(self, warm_api: Client) -> None:
        sent = statements(lambda: factories.post_payout(warm_api))

        # The time; and the payout with its first row of history.
        assert len(sent) == AUTHENTICATION + 2, sent

    def test_of_post_with_key(self, warm_api: Client) -> None:
        sent = statements(lambda: factories.post_payout(warm_api, key="order-1"))

        # The key, which nobody has used; and the key with its answer, payout and history. BEGIN is sent together with
        # the first, so these and COMMIT are four round trips.
        assert len(sent) == AUTHENTICATION + 2, sent

    def test_of_replay(self, warm_api: Client) -> None:
        factories.post_payout(warm_api, key="order-1")

        sent = statements(lambda: factories.post_payout(warm_api, key="order-1"))

        # The key with its answer.
        assert len(sent) == AUTHENTICATION + 1, sent

    def test_of_get(
        self,
        warm_api: Client,
        make_payout: Callable[..., Payout],
        make_processed_payout: Callable[..., Payout],
    ) -> None:
        urls = [f"/api/payouts/{payout.id}/" for payout in (make_payout(), make_processed_payout())]

        sent = [statements(partial(warm_api.get, url)) for url in urls]

        assert [len(each) for each in sent] == [AUTHENTICATION + 1 + HOLDS, AUTHENTICATION + 1], sent

    def test_of_list_whatever_its_length(self, warm_api: Client, make_payout: Callable[..., Payout]) -> None:
        for rows in (0, 1, 30):
            for _ in range(rows):
                make_payout()
            sent = statements(lambda: warm_api.get("/api/payouts/?status=pending&search=jane"))
            assert len(sent) == AUTHENTICATION + 1 + (HOLDS if rows else 0), sent
            listing = sent[AUTHENTICATION]
            assert "COUNT(" not in listing
            assert " LIMIT " in listing

    def test_of_list_of_what_has_changed(self, warm_api: Client, make_payout: Callable[..., Payout]) -> None:
        for _ in range(3):
            make_payout()
        list_changed = partial(
            warm_api.get, "/api/payouts/", {"updated_after": "2026-01-01T00:00:00Z", "page_size": "2"}
        )
        following = list_changed().json()["next"]

        sent = [statements(list_changed), statements(lambda: warm_api.get(following))]

        # What is open; and that what was shown of it before in this transaction, which no request has, is forgotten.
        # Its answer is carried to the pages that follow.
        assert [len(each) for each in sent] == [AUTHENTICATION + 2 + 1 + HOLDS, AUTHENTICATION + 1 + HOLDS], sent

    def test_of_later_page(self, warm_api: Client, make_payout: Callable[..., Payout]) -> None:
        for _ in range(3):
            make_payout()
        following = warm_api.get("/api/payouts/?page_size=2").json()["next"]

        sent = statements(lambda: warm_api.get(following))

        assert len(sent) == AUTHENTICATION + 1 + HOLDS, sent
        # No OFFSET, which reads and throws away all pages before.
        assert "OFFSET" not in sent[AUTHENTICATION]

    def test_of_history(self, warm_api: Client, make_processed_payout: Callable[..., Payout]) -> None:
        payout = make_processed_payout()

        sent = statements(lambda: warm_api.get(f"/api/payouts/{payout.id}/history/"))

        assert len(sent) == AUTHENTICATION + 3, sent

    def test_of_summary(self, warm_api: Client, make_payout: Callable[..., Payout]) -> None:
        for days in (0, 1, 2):
            make_payout(created_at=rolling.at(rolling.day_ago(days)))
        summary = partial(warm_api.get, "/api/payouts/summary/")

        # How far the roll-up has come, and the payouts.
        assert len(statements(summary)) == AUTHENTICATION + 2
        rolling.close(rolling.day_ago(1))
        Payout.objects.filter(created_at__lt=rolling.at(rolling.day_ago(1))).update(status="canceled")
        # ... and the cells. However many times have to be read from the payouts, it is one statement.
        sent = statements(summary)
        assert len(sent) == AUTHENTICATION + 3, sent
        assert sent[-1].count("UNION ALL") == 1

    def test_of_summary_of_what_no_cell_knows(self, warm_api: Client, make_payout: Callable[..., Payout]) -> None:
        make_payout()

        assert len(statements(lambda: warm_api.get("/api/payouts/summary/?reference=order-1"))) == AUTHENTICATION + 1

    def test_of_first_use_of_a_key_in_a_minute(self, api: Client) -> None:
        sent = statements(lambda: api.get("/api/me/"))

        assert len(sent) == AUTHENTICATION + 1
        assert sent[1].startswith('UPDATE "accounts_merchantapikey" SET "last_used_at"')

    def test_of_a_refusal_before_the_database_is_needed(self, client: Client, db: None) -> None:
        assert statements(lambda: client.get("/api/payouts/")) == []
        assert statements(lambda: factories.client_with("x" * 41).get("/api/payouts/")) == []
