from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant
from payouts.models import Payout
from tests.support import answers, factories
from tests.support.listing import MakePayout, pages

URL = "/api/payouts/"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORDERINGS = ("-created_at", "created_at", "-amount", "amount")


def ids(page: dict[str, Any]) -> list[str]:
    return [payout["id"] for payout in page["results"]]


def expected_ids(ordering: str) -> list[str]:
    """The whole list in plain Python: by the field, then by id, both in the same direction."""
    field = ordering.lstrip("-")
    rows = sorted(Payout.objects.all(), key=lambda payout: (getattr(payout, field), payout.id))
    return [str(payout.id) for payout in (reversed(rows) if ordering.startswith("-") else rows)]


@pytest.fixture
def eleven_payouts(make_payout: MakePayout) -> list[Payout]:
    """Of three moments and three amounts, so that most rows share both with others."""
    return [
        make_payout(created_at=NOON + timedelta(seconds=number % 3), amount=Decimal(number % 3 + 1))
        for number in range(11)
    ]


class TestListPayouts:
    def test_lists_payouts_newest_first(self, api: Client, make_payout: MakePayout) -> None:
        older, newer = make_payout(), make_payout()

        response = api.get(URL)

        assert response.status_code == 200
        assert response.json().keys() == {"results", "next", "previous"}
        assert ids(response.json()) == [str(newer.id), str(older.id)]
        assert response.json()["results"][1] == api.get(f"{URL}{older.id}/").json()
        assert (response.json()["next"], response.json()["previous"]) == (None, None)

    def test_is_empty_at_first(self, api: Client) -> None:
        assert api.get(URL).json() == {"results": [], "next": None, "previous": None}

    def test_answers_head(self, api: Client, make_payout: MakePayout) -> None:
        make_payout()

        response = api.head(URL)

        assert (response.status_code, response.content) == (200, b"")

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        make_payout()

        assert globex_api.get(URL).json()["results"] == []

    def test_hides_payouts_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        make_payout()

        assert factories.client_of(acme, mode="live").get(URL).json()["results"] == []

    def test_hides_deleted_payout(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        api.delete(f"{URL}{payout.id}/")

        assert api.get(URL).json()["results"] == []

    def test_requires_api_key(self, client: Client, db: None) -> None:
        assert answers.code(client.get(URL)) == (401, "api_key_missing")


class TestPages:
    @pytest.mark.parametrize("ordering", ORDERINGS)
    @pytest.mark.parametrize("page_size", [1, 3, 4, 11])
    def test_walk_to_the_end_and_back(
        self, api: Client, eleven_payouts: list[Payout], ordering: str, page_size: int
    ) -> None:
        del eleven_payouts
        expected = expected_ids(ordering)

        forwards = list(pages(api, f"{URL}?ordering={ordering}&page_size={page_size}"))
        last_but_one = forwards[-1]["previous"]
        backwards = list(pages(api, last_but_one, link="previous")) if last_but_one else []

        assert [len(page["results"]) for page in forwards[:-1]] == [page_size] * (len(forwards) - 1)
        assert [payout_id for page in forwards for payout_id in ids(page)] == expected
        assert forwards[0]["previous"] is None
        back = [payout_id for page in reversed(backwards) for payout_id in ids(page)]
        assert back == expected[: len(expected) - len(forwards[-1]["results"])]

    def test_walk_through_pages_of_equals(self, api: Client, acme: Merchant, subtests: pytest.Subtests) -> None:
        fields = {**factories.payout_fields(amount=Decimal(7)), "created_at": NOON, "provider": "sandbox"}
        Payout.objects.bulk_create(Payout(merchant=acme, mode="test", **fields) for _ in range(450))

        for ordering in ORDERINGS:
            with subtests.test(ordering=ordering):
                url = f"{URL}?ordering={ordering}&page_size=200"
                seen = [payout_id for page in pages(api, url) for payout_id in ids(page)]

                # Equal in all but the id, which decides.
                assert seen == expected_ids(ordering)
                assert len(set(seen)) == 450

    @pytest.mark.parametrize("ordering", ORDERINGS)
    def test_stay_stable_while_payouts_are_added(
        self, api: Client, eleven_payouts: list[Payout], make_payout: MakePayout, ordering: str
    ) -> None:
        expected = {str(payout.id) for payout in eleven_payouts}
        seen: list[str] = []

        for page in pages(api, f"{URL}?ordering={ordering}&page_size=2"):
            seen += ids(page)
            # One at each end of the list, and one among equals.
            for days, amount in [(-1, "9"), (1, "0.1"), (0, "2")]:
                if len(seen) <= 6:
                    make_payout(created_at=NOON + timedelta(days=days), amount=Decimal(amount))

        assert len(seen) == len(set(seen))
        assert expected <= set(seen)

    def test_skip_nothing_when_a_payout_at_the_edge_is_deleted(self, api: Client, eleven_payouts: list[Payout]) -> None:
        del eleven_payouts
        expected = expected_ids("-created_at")
        first = api.get(f"{URL}?page_size=4").json()

        api.delete(f"{URL}{ids(first)[-1]}/")

        assert ids(api.get(first["next"]).json()) == expected[4:8]

    def test_keep_filters_order_and_size(self, api: Client, make_payout: MakePayout) -> None:
        wanted = [str(make_payout(currency="USD").id) for _ in range(5)]
        for _ in range(3):
            make_payout()

        found = [
            payout_id
            for page in pages(api, f"{URL}?status=pending&status=paid&currency=USD&ordering=created_at&page_size=2")
            for payout_id in ids(page)
        ]

        assert found == wanted

    def test_have_fifty_results_unless_told_otherwise(self, api: Client, make_payout: MakePayout) -> None:
        for _ in range(51):
            make_payout()

        page = api.get(URL).json()

        assert len(page["results"]) == 50
        assert len(api.get(page["next"]).json()["results"]) == 1
        assert len(api.get(f"{URL}?page_size=200").json()["results"]) == 51

    @pytest.mark.parametrize("page_size", ["0", "201", "-1", "1.0", "1e1", "x", "+5", "\u0661", "9" * 5000, "1 "])
    def test_refuse_size(self, api: Client, page_size: str) -> None:
        response = api.get(URL, {"page_size": page_size})

        assert answers.code(response) == (400, "invalid_request")
        assert answers.field_errors(response) == [("page_size", "invalid")]


class TestCursor:
    @pytest.fixture
    def cursor(self, api: Client, eleven_payouts: list[Payout]) -> str:
        """Of the second page of two, in the order that is the default."""
        del eleven_payouts
        link: str = api.get(f"{URL}?page_size=2").json()["next"]
        return link.split("cursor=")[1]

    def test_is_refused_when_it_is_none_of_ours(self, api: Client, cursor: str) -> None:
        payload, _, signature = cursor.rpartition("%3A")
        tampered = [
            "x",
            "1",
            "🙂",
            "a" * 10_000,
            cursor[:-1],
            cursor[1:],
            payload,
            f"{payload}%3A{signature[::-1]}",
            f"{'A' if payload[5] != 'A' else 'B'}".join([payload[:5], payload[6:]]) + f"%3A{signature}",
        ]

        for text in tampered:
            response = api.get(f"{URL}?page_size=2&cursor={text}")
            assert answers.field_errors(response) == [("cursor", "invalid_cursor")], text

    @pytest.mark.parametrize(
        "query", ["ordering=created_at", "ordering=-amount", "status=pending", "currency=EUR", "search=jane"]
    )
    def test_is_refused_on_another_list(self, api: Client, cursor: str, query: str) -> None:
        response = api.get(f"{URL}?{query}&cursor={cursor}")

        assert answers.code(response) == (400, "invalid_request")
        assert answers.field_errors(response) == [("cursor", "cursor_mismatch")]

    def test_is_refused_when_it_is_of_another_merchant_or_mode(
        self, globex_api: Client, acme: Merchant, cursor: str
    ) -> None:
        for stranger in (globex_api, factories.client_of(acme, mode="live")):
            response = stranger.get(f"{URL}?cursor={cursor}")
            assert answers.field_errors(response) == [("cursor", "cursor_mismatch")]

    def test_holds_for_another_key_of_the_merchant_and_another_size(
        self, api: Client, acme: Merchant, cursor: str
    ) -> None:
        mine = api.get(f"{URL}?page_size=3&cursor={cursor}").json()

        assert ids(mine) == expected_ids("-created_at")[2:5]
        assert ids(factories.client_of(acme).get(f"{URL}?page_size=3&cursor={cursor}").json()) == ids(mine)
