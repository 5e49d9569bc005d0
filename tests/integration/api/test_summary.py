from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant
from payouts.models import Payout, RollupCell, RollupMark, RollupState
from payouts.summaries import rollup, summarize
from payouts.summaries.rollup import Horizon
from tests.support import answers, factories

URL = "/api/payouts/summary/"
NOTHING: dict[str, list[Any]] = {"results": [], "totals": []}

MakePayout = Callable[..., Payout]


def figures(count: int, amount: str, average: str, least: str, greatest: str) -> dict[str, Any]:
    return {"count": count, "amount": amount, "average": average, "min": least, "max": greatest}


def one(amount: str, count: int = 1) -> dict[str, Any]:
    """The figures of payouts of the same amount."""
    return figures(count, f"{Decimal(amount) * count}", amount, amount, amount)


@pytest.fixture
def over_midnight(make_payout: MakePayout) -> datetime:
    """Three payouts around a midnight of UTC, which is 05:45 in Kathmandu and 19:00 the day before in New York."""
    midnight = datetime(2026, 2, 1, tzinfo=UTC)
    make_payout(created_at=midnight - timedelta(microseconds=1), amount=Decimal(1))
    make_payout(created_at=midnight, amount=Decimal(2))
    make_payout(created_at=midnight + timedelta(hours=18, minutes=15), amount=Decimal(4))
    return midnight


def days(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 200, response.content
    return [(row["day"], row["amount"]) for row in response.json()["results"]]


class TestSummary:
    def test_counts_and_sums_by_status_and_currency(
        self, api: Client, make_payout: MakePayout, make_processed_payout: MakePayout
    ) -> None:
        make_payout(amount=Decimal("0.10"))
        make_payout(amount=Decimal("0.20"))
        make_payout(amount=Decimal(1500), currency="JPY")
        make_payout(amount=Decimal("1.234"), currency="KWD")
        make_processed_payout(amount=Decimal("999999999999.99"))
        make_processed_payout(amount=Decimal("999999999999.99"))

        response = api.get(URL)

        assert response.status_code == 200
        assert response.json() == {
            "results": [
                {"status": "paid", "currency": "EUR", **one("999999999999.99", 2)},
                {"status": "pending", "currency": "EUR", **figures(2, "0.30", "0.15", "0.10", "0.20")},
                {"status": "pending", "currency": "JPY", **one("1500")},
                {"status": "pending", "currency": "KWD", **one("1.234")},
            ],
            "totals": [
                {"currency": "EUR", **figures(4, "2000000000000.28", "500000000000.07", "0.10", "999999999999.99")},
                {"currency": "JPY", **one("1500")},
                {"currency": "KWD", **one("1.234")},
            ],
        }

    def test_is_empty_at_first(self, api: Client) -> None:
        assert api.get(URL).json() == NOTHING

    @pytest.mark.parametrize(
        ("amounts", "average"),
        [
            # Half to even: 0.005 down to 0.00, 0.015 up to 0.02.
            (["0.01", "0.01", "0.01", "0.01", "0.02", "0.03"], "0.02"),
            (["0.01", "0.02"], "0.02"),
            (["0.02", "0.03"], "0.02"),
            (["0.01", "0.01", "0.02"], "0.01"),
            (["999999999999.99", "999999999999.98"], "999999999999.98"),
        ],
    )
    def test_rounds_the_average_half_to_even(
        self, api: Client, make_payout: MakePayout, amounts: list[str], average: str
    ) -> None:
        for amount in amounts:
            make_payout(amount=Decimal(amount))

        assert [row["average"] for row in api.get(URL).json()["totals"]] == [average]

    # What it takes and refuses as a filter is in test_list_payouts_filters.py, which asks both.
    def test_takes_the_filters_of_the_list(self, api: Client, make_payout: MakePayout) -> None:
        make_payout(reference="order-1")
        make_payout()

        response = api.get(URL, {"reference": "order-1"})

        assert [row["count"] for row in response.json()["results"]] == [1]

    def test_leaves_deleted_payouts_out(self, api: Client, make_payout: MakePayout) -> None:
        api.delete(f"/api/payouts/{make_payout().id}/")

        assert api.get(URL).json() == NOTHING

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        make_payout()

        assert globex_api.get(URL).json() == NOTHING

    def test_hides_payout_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        make_payout()

        assert factories.client_of(acme, mode="live").get(URL).json() == NOTHING

    def test_hides_cells_of_other_merchants_and_of_the_other_mode(self, acme: Merchant, api: Client) -> None:
        RollupState.objects.create(closed_before="2026-02-01")
        sums = {"count": 1, "amount": 1, "amount_min": 1, "amount_max": 1}
        for merchant_id, mode in ((uuid.uuid4(), "test"), (acme.pk, "live")):
            cell = {"day": "2026-01-01", "status": "paid", "currency": "EUR", "provider": "sandbox"}
            RollupCell.objects.create(merchant_id=merchant_id, mode=mode, **cell, **sums)

        assert api.get(URL).json() == NOTHING

    def test_requires_api_key(self, client: Client, db: None) -> None:
        assert answers.code(client.get(URL)) == (401, "api_key_missing")


class TestGroups:
    @pytest.fixture(autouse=True)
    def _payouts(self, make_payout: MakePayout, make_processed_payout: MakePayout) -> None:
        make_payout(created_at=datetime(2026, 1, 31, 23, tzinfo=UTC))
        make_payout(created_at=datetime(2026, 2, 1, tzinfo=UTC), amount=Decimal("0.50"))
        make_payout(created_at=datetime(2026, 2, 1, tzinfo=UTC), amount=Decimal(100), currency="JPY")
        make_processed_payout(created_at=datetime(2026, 2, 1, tzinfo=UTC))

    def test_by_currency_alone(self, api: Client) -> None:
        answer = api.get(URL, {"group_by": "currency"}).json()

        assert answer["results"] == answer["totals"]
        assert answer["totals"] == [
            {"currency": "EUR", **figures(3, "21.50", "7.17", "0.50", "10.50")},
            {"currency": "JPY", **one("100")},
        ]

    @pytest.mark.parametrize("group_by", ["day", "day,currency", ["currency", "day"]])
    def test_are_of_one_currency_whatever_is_asked_for(self, api: Client, group_by: str | list[str]) -> None:
        answer = api.get(URL, {"group_by": group_by}).json()

        assert answer["results"] == [
            {"day": "2026-01-31", "currency": "EUR", **one("10.50")},
            {"day": "2026-02-01", "currency": "EUR", **figures(2, "11.00", "5.50", "0.50", "10.50")},
            {"day": "2026-02-01", "currency": "JPY", **one("100")},
        ]

    @pytest.mark.parametrize(
        "group_by",
        ["provider,currency,status,day", " day , status,currency , provider", ["day,provider", "status"]],
    )
    def test_are_ordered_by_day_status_currency_and_provider(self, api: Client, group_by: str | list[str]) -> None:
        answer = api.get(URL, {"group_by": group_by}).json()

        assert [list(row)[:4] for row in answer["results"]] == [["day", "status", "currency", "provider"]] * 4
        assert [tuple(row.values())[:5] for row in answer["results"]] == [
            ("2026-01-31", "pending", "EUR", "sandbox", 1),
            ("2026-02-01", "paid", "EUR", "sandbox", 1),
            ("2026-02-01", "pending", "EUR", "sandbox", 1),
            ("2026-02-01", "pending", "JPY", "sandbox", 1),
        ]

    @pytest.mark.parametrize(
        ("parameters", "errors"),
        [
            ({"group_by": "month"}, [("group_by", "invalid_choice")]),
            ({"group_by": "Day"}, [("group_by", "invalid_choice")]),
            ({"group_by": "day,"}, [("group_by", "invalid_choice")]),
            ({"group_by": "merchant"}, [("group_by", "invalid_choice")]),
            ({"group_by": "day,status,day"}, [("group_by", "repeated_choice")]),
            ({"group_by": ["day", "day"]}, [("group_by", "repeated_choice")]),
            ({"group_by": ""}, [("group_by", "blank")]),
            ({"group_by": "day\0"}, [("group_by", "invalid_character")]),
            ({"timezone": "Europe/Berlin"}, [("timezone", "needs_group_by_day")]),
            ({"timezone": "UTC"}, [("timezone", "needs_group_by_day")]),
            ({"timezone": "", "group_by": "day"}, [("timezone", "blank")]),
            ({"timezone": ["UTC", "UTC"], "group_by": "day"}, [("timezone", "repeated_parameter")]),
            ({"page_size": "5"}, [("page_size", "unknown_parameter")]),
        ],
    )
    def test_are_refused_with_the_parameter(
        self, api: Client, parameters: dict[str, Any], errors: list[tuple[str, str]]
    ) -> None:
        response = api.get(URL, parameters)

        assert answers.code(response) == (400, "invalid_request")
        assert answers.field_errors(response) == errors

    def test_are_refused_where_they_are_too_many(self, api: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(summarize, "ROWS_MAX", 2)

        response = api.get(URL, {"group_by": "day"})

        assert answers.code(response) == (400, "summary_too_large")
        assert len(api.get(URL, {"group_by": "currency"}).json()["results"]) == 2

    def test_are_refused_where_cells_and_payouts_are_too_many_together(
        self, api: Client, monkeypatch: pytest.MonkeyPatch, acme: Merchant
    ) -> None:
        monkeypatch.setattr(summarize, "ROWS_MAX", 2)
        RollupState.objects.create(closed_before="2026-02-01")
        sums = {"count": 1, "amount": 1, "amount_min": 1, "amount_max": 1}
        key = {"merchant_id": acme.pk, "mode": "test", "day": "2026-01-01", "status": "paid", "provider": "sandbox"}
        RollupCell.objects.create(**key, currency="USD", **sums)

        # Two from payouts and one from the cells.
        assert answers.code(api.get(URL, {"group_by": "currency"})) == (400, "summary_too_large")


class TestCells:
    """Which questions are answered from the roll-up. Its one cell says 7 here, where there is one payout."""

    @pytest.fixture(autouse=True)
    def _doctored(self, make_payout: MakePayout) -> None:
        make_payout(created_at=datetime(2026, 1, 31, 12, tzinfo=UTC))
        assert rollup.close_next_day(Horizon(0, date(2026, 1, 31))) == date(2026, 2, 1)
        RollupCell.objects.update(count=7)

    @pytest.mark.parametrize(
        ("parameters", "count"),
        [
            ({}, 7),
            ({"status": "pending,paid", "currency": "EUR"}, 7),
            ({"group_by": "day,provider", "timezone": "Europe/London", "created_after": "2026-01-01T00:00:00Z"}, 7),
            ({"created_after": "2026-01-30T23:59:59Z", "created_before": "2026-02-01T00:00:00Z"}, 7),
            # Not all of the day, another filter, the days of elsewhere.
            ({"created_after": "2026-01-31T00:00:00.000001Z"}, 1),
            ({"created_before": "2026-01-31T23:59:59Z"}, 1),
            ({"amount_min": "1"}, 1),
            ({"search": "jane"}, 1),
            ({"group_by": "day", "timezone": "Europe/Berlin"}, 1),
            ({"group_by": "day", "timezone": "Europe/London"}, 1),
        ],
    )
    def test_answer_what_they_know(self, api: Client, parameters: dict[str, str], count: int) -> None:
        assert [row["count"] for row in api.get(URL, parameters).json()["results"]] == [count]

    def test_that_are_marked_answer_nothing(self, api: Client, acme: Merchant) -> None:
        RollupMark.objects.create(merchant_id=acme.pk, mode="test", day="2026-01-31")

        assert [row["count"] for row in api.get(URL).json()["results"]] == [1]

    def test_that_are_not_closed_answer_nothing(self, api: Client) -> None:
        RollupState.objects.update(closed_before="2026-01-31")

        assert [row["count"] for row in api.get(URL).json()["results"]] == [1]

    def test_that_are_marked_for_others_go_on_answering(self, api: Client, acme: Merchant) -> None:
        RollupMark.objects.create(merchant_id=acme.pk, mode="live", day="2026-01-31")
        RollupMark.objects.create(merchant_id=uuid.uuid4(), mode="test", day="2026-01-31")

        assert [row["count"] for row in api.get(URL).json()["results"]] == [7]


class TestDays:
    def test_are_those_of_utc(self, api: Client, over_midnight: datetime) -> None:
        for parameters in ({}, {"timezone": "UTC"}, {"timezone": "Etc/UTC"}, {"timezone": "Africa/Abidjan"}):
            response = api.get(URL, {"group_by": "day", **parameters})
            assert days(response) == [("2026-01-31", "1.00"), ("2026-02-01", "6.00")]

    @pytest.mark.parametrize(
        ("timezone", "expected"),
        [
            ("Asia/Kathmandu", [("2026-02-01", "3.00"), ("2026-02-02", "4.00")]),
            ("America/New_York", [("2026-01-31", "3.00"), ("2026-02-01", "4.00")]),
            ("Pacific/Apia", [("2026-02-01", "3.00"), ("2026-02-02", "4.00")]),
            # Its name has the sign of POSIX: it is five hours behind.
            ("Etc/GMT+5", [("2026-01-31", "3.00"), ("2026-02-01", "4.00")]),
        ],
    )
    def test_are_those_of_the_time_zone(
        self, api: Client, over_midnight: datetime, timezone: str, expected: list[tuple[str, str]]
    ) -> None:
        assert days(api.get(URL, {"group_by": "day", "timezone": timezone})) == expected

    def test_have_23_hours_where_the_clock_is_put_forward(self, api: Client, make_payout: MakePayout) -> None:
        """New York, 2026-03-08: from 05:00 to 04:00 the next day in UTC."""
        midnight = datetime(2026, 3, 8, 5, tzinfo=UTC)
        for moment, amount in (
            (midnight - timedelta(microseconds=1), 1),
            (midnight, 2),
            (midnight + timedelta(hours=23, microseconds=-1), 4),
            (midnight + timedelta(hours=23), 8),
        ):
            make_payout(created_at=moment, amount=Decimal(amount))

        found = days(api.get(URL, {"group_by": "day", "timezone": "America/New_York"}))

        assert found == [("2026-03-07", "1.00"), ("2026-03-08", "6.00"), ("2026-03-09", "8.00")]

    def test_have_summer_time_whatever_postgresql_knows_by_the_name(self, api: Client, make_payout: MakePayout) -> None:
        """To PostgreSQL CET is an hour ahead of UTC in summer as well."""
        midnight = datetime(2026, 6, 30, 22, tzinfo=UTC)
        make_payout(created_at=midnight - timedelta(microseconds=1), amount=Decimal(1))
        make_payout(created_at=midnight, amount=Decimal(2))

        found = days(api.get(URL, {"group_by": "day", "timezone": "CET"}))

        assert found == [("2026-06-30", "1.00"), ("2026-07-01", "2.00")]

    def test_may_be_missing_from_the_calendar(self, api: Client, make_payout: MakePayout) -> None:
        """Samoa went from 2011-12-29 straight to 2011-12-31."""
        change = datetime(2011, 12, 30, 10, tzinfo=UTC)
        make_payout(created_at=change - timedelta(microseconds=1), amount=Decimal(1))
        make_payout(created_at=change, amount=Decimal(2))

        found = days(api.get(URL, {"group_by": "day", "timezone": "Pacific/Apia"}))

        assert found == [("2011-12-29", "1.00"), ("2011-12-31", "2.00")]

    @pytest.mark.parametrize(
        "timezone",
        [
            "Mars/Olympus",
            "europe/berlin",
            "Europe",
            "CET+1",
            "+02:00",
            "../../etc/passwd",
            "/etc/localtime",
            "localtime",
        ],
    )
    def test_are_refused_for_a_zone_that_does_not_exist(self, api: Client, timezone: str) -> None:
        response = api.get(URL, {"group_by": "day", "timezone": timezone})

        assert answers.code(response) == (400, "time_zone_unknown")
        assert answers.field_errors(response) == [("timezone", "time_zone_unknown")]
