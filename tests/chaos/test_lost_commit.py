"""The connection to PostgreSQL breaks beside COMMIT. Nobody knows what became of it, and the retry finds out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client

from idempotency.models import IdempotencyRecord
from payouts.engine import sweep
from payouts.models import Payout
from tests.chaos import database_proxy
from tests.chaos.database_proxy import Cut, DatabaseProxy
from tests.support import answers, database, factories
from tests.support.doorbell import Doorbell

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def wire(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseProxy]:
    """What Django's connection goes through."""
    there = connection.settings_dict
    readable = {**there["OPTIONS"], "sslmode": "disable", "gssencmode": "disable"}
    connection.close()
    with database_proxy.running(host=there["HOST"], port=int(there["PORT"])) as proxy:
        with monkeypatch.context() as patch:
            for name, value in {"HOST": "127.0.0.1", "PORT": proxy.port, "OPTIONS": readable}.items():
                patch.setitem(there, name, value)
            yield proxy
        connection.close()


def empty_queue() -> Doorbell:
    return Doorbell(redis.Redis.from_url(django_settings.CELERY_BROKER_URL))


def lose(wire: DatabaseProxy, cut: Cut, call: Callable[[], Any]) -> Any:
    """Return the answer to a request whose COMMIT, or the answer to it, was lost; what comes next is well again."""
    wire.arm(cut)
    try:
        return call()
    finally:
        connection.close()


def replayed(response: Any) -> str | None:
    value: str | None = response.headers.get("Idempotent-Replayed")
    return value


def cancel(api: Client, payout: Payout) -> Any:
    return api.post(
        f"/api/payouts/{payout.id}/cancel/", {}, content_type="application/json", headers={"Idempotency-Key": "k-1"}
    )


def patch(api: Client, payout: Payout) -> Any:
    body = {"comment": "new", "amount": "12.00"}
    return api.patch(
        f"/api/payouts/{payout.id}/", body, content_type="application/json", headers={"Idempotency-Key": "k-1"}
    )


def what_is_there(payout: Payout) -> tuple[str, str, str, int, list[str]]:
    """Return all of the payout that the changes above touch, with the statuses that it has gone through."""
    now = Payout.objects.get(pk=payout.pk)
    return now.status, now.comment, f"{now.amount:.2f}", now.version, database.statuses(payout)


UNTOUCHED = ("pending", "", "10.50", 1, ["pending"])
CHANGES = [
    pytest.param(cancel, ("canceled", "", "10.50", 2, ["pending", "canceled"]), id="cancel"),
    pytest.param(patch, ("pending", "new", "12.00", 2, ["pending"]), id="patch"),
]

# What the retry says of itself: where the COMMIT was lost there is nothing to replay.
BOTH_CUTS = [
    pytest.param(Cut.BEFORE_COMMIT, None, id="commit_lost"),
    pytest.param(Cut.AFTER_COMMIT, "true", id="answer_to_commit_lost"),
]


class TestCreate:
    @pytest.mark.parametrize(("cut", "second_is_replayed"), BOTH_CUTS)
    def test_is_told_and_the_same_request_again_ends_in_one_payout(
        self, wire: DatabaseProxy, api: Client, cut: Cut, second_is_replayed: str | None
    ) -> None:
        lost = lose(wire, cut, lambda: factories.post_payout(api, key="k-1"))
        again = factories.post_payout(api, key="k-1")

        assert wire.cuts == [cut]
        assert answers.code(lost) == (503, "outcome_unknown")
        assert lost.headers["Retry-After"] == "1"
        assert (again.status_code, replayed(again)) == (201, second_is_replayed)
        assert again.json()["id"] == str(Payout.objects.get().id)
        assert answers.rows_written() == {**answers.NOTHING, "payouts": 1, "transitions": 1, "idempotency_records": 1}

    @pytest.mark.parametrize(("cut", "rows"), [(Cut.BEFORE_COMMIT, 0), (Cut.AFTER_COMMIT, 1)])
    def test_leaves_all_or_nothing(self, wire: DatabaseProxy, api: Client, cut: Cut, rows: int) -> None:
        lose(wire, cut, lambda: factories.post_payout(api, key="k-1"))

        assert wire.cuts == [cut]
        written = {"payouts": rows, "transitions": rows, "idempotency_records": rows}
        assert answers.rows_written() == {**answers.NOTHING, **written}

    @pytest.mark.parametrize(("cut", "rows"), [(Cut.BEFORE_COMMIT, 0), (Cut.AFTER_COMMIT, 1)])
    def test_without_a_key_is_told_too(self, wire: DatabaseProxy, api: Client, cut: Cut, rows: int) -> None:
        lost = lose(wire, cut, lambda: factories.post_payout(api))

        assert wire.cuts == [cut]
        assert answers.code(lost) == (503, "outcome_unknown")
        assert lost.headers["Retry-After"] == "1"
        assert answers.rows_written() == {**answers.NOTHING, "payouts": rows, "transitions": rows}

    def test_another_request_with_the_key_is_refused_where_the_first_was_carried_out(
        self, wire: DatabaseProxy, api: Client
    ) -> None:
        lose(wire, Cut.AFTER_COMMIT, lambda: factories.post_payout(api, key="k-1"))

        other = factories.post_payout(api, factories.payout_body(amount="10.51"), key="k-1")

        assert answers.code(other) == (422, "idempotency_key_reused")
        assert Payout.objects.count() == 1

    def test_rings_for_nobody_and_is_found_by_the_sweeper(self, wire: DatabaseProxy, api: Client) -> None:
        queue = empty_queue()
        lose(wire, Cut.AFTER_COMMIT, lambda: factories.post_payout(api, key="k-1"))
        factories.post_payout(api, key="k-1")
        rung_for_requests = queue.rung()
        database.make_due(Payout.objects.get())

        swept = sweep.sweep()

        assert rung_for_requests == 0
        assert swept == sweep.Sweep(due=1, rung=1, processed=0)
        assert queue.rung() == 1

    def test_that_was_lost_rings_once_when_the_retry_does_the_work(self, wire: DatabaseProxy, api: Client) -> None:
        queue = empty_queue()
        lose(wire, Cut.BEFORE_COMMIT, lambda: factories.post_payout(api, key="k-1"))
        rung_for_the_lost_one = queue.rung()

        factories.post_payout(api, key="k-1")

        assert (rung_for_the_lost_one, queue.rung()) == (0, 1)


class TestChange:
    @pytest.mark.parametrize(("cut", "second_is_replayed"), BOTH_CUTS)
    @pytest.mark.parametrize(("change", "changed"), CHANGES)
    def test_is_told_and_the_same_request_again_ends_in_one_change(
        self,
        wire: DatabaseProxy,
        api: Client,
        make_payout: Callable[..., Payout],
        cut: Cut,
        second_is_replayed: str | None,
        change: Callable[[Client, Payout], Any],
        changed: tuple[object, ...],
    ) -> None:
        payout = make_payout()
        lost = lose(wire, cut, lambda: change(api, payout))
        left = what_is_there(payout)

        again = change(api, payout)

        assert wire.cuts == [cut]
        assert answers.code(lost) == (503, "outcome_unknown")
        assert lost.headers["Retry-After"] == "1"
        assert left == (changed if cut is Cut.AFTER_COMMIT else UNTOUCHED)
        assert (again.status_code, replayed(again)) == (200, second_is_replayed)
        assert what_is_there(payout) == changed
        assert IdempotencyRecord.objects.count() == 1

    @pytest.mark.parametrize(("change", "changed"), CHANGES)
    def test_is_not_undone_by_the_replay(
        self,
        wire: DatabaseProxy,
        api: Client,
        make_payout: Callable[..., Payout],
        change: Callable[[Client, Payout], Any],
        changed: tuple[object, ...],
    ) -> None:
        """The retry comes after somebody else's change: it must answer, and leave that alone."""
        payout = make_payout()
        lose(wire, Cut.AFTER_COMMIT, lambda: change(api, payout))
        api.patch(f"/api/payouts/{payout.id}/", {"comment": "newest"}, content_type="application/json")

        again = change(api, payout)

        status, _, amount, _, statuses = changed
        assert (again.status_code, replayed(again), again.headers["ETag"]) == (200, "true", '"2"')
        assert what_is_there(payout) == (status, "newest", amount, 3, statuses)


class TestIdleTransaction:
    def test_is_given_up_and_leaves_nothing(self, transactional_db: None, api: Client) -> None:
        def idle_after_claim(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
            result = execute(sql, params, many, context)
            if "INSERT INTO idempotency_" in sql:
                time.sleep(0.3)
            return result

        with connection.cursor() as cursor:
            cursor.execute("SET idle_in_transaction_session_timeout = '50ms'")
        with connection.execute_wrapper(idle_after_claim):
            given_up = factories.post_payout(api, key="k-1")
        connection.close()
        left = answers.rows_written()
        again = factories.post_payout(api, key="k-1")

        assert answers.code(given_up) == (503, "database_busy")
        assert given_up.headers["Retry-After"] == "1"
        assert left == answers.NOTHING
        assert (again.status_code, replayed(again)) == (201, None)
