"""Each filter against the same filter in plain Python, and every malformed value refused with its name."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from payouts.models import Payout
from tests.support import answers

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LIST = "/api/payouts/"
SUMMARY = "/api/payouts/summary/"

MakePayout = Callable[..., Payout]
Predicate = Callable[[Payout], bool]


@pytest.fixture
def payouts(make_payout: MakePayout, make_processed_payout: MakePayout) -> list[Payout]:
    """A few of everything that can be filtered by."""
    made = [
        make_payout(amount=Decimal("10.49"), created_at=NOON - timedelta(microseconds=1), comment="Refund 100% of it"),
        make_payout(amount=Decimal("10.50"), created_at=NOON, reference="order-1", idempotency_key="key-1"),
        make_payout(amount=Decimal("10.51"), created_at=NOON + timedelta(microseconds=1), reference="order-10"),
        make_payout(amount=Decimal(1500), currency="JPY", comment="under_score", idempotency_key="key-10"),
        make_payout(
            recipient_details={"name": "Zoë Ünal", "account": "GB82WEST12345698765432"}, idempotency_key=" spaced "
        ),
        make_processed_payout("sandbox_paid", reference="ORDER-1", metadata={"department": "returns"}),
        make_payout(metadata={"department": "returns", "cost center": "[4] & 5"}),
        make_payout(metadata={"a][b": "1"}),
        make_processed_payout("sandbox_rejected_account_closed", comment="back\\slash"),
        make_processed_payout("sandbox_unknown", currency="USD"),
    ]
    for payout in made:
        payout.refresh_from_db()
    return made


def contains(text: str) -> Predicate:
    def predicate(payout: Payout) -> bool:
        details = payout.recipient_details
        texts = (payout.comment, payout.reference, details["name"], details["account"])
        return any(text.lower() in candidate.lower() for candidate in texts)

    return predicate


FILTERS: list[tuple[dict[str, Any], Predicate]] = [
    ({}, lambda payout: True),
    ({"status": "pending"}, lambda payout: payout.status == "pending"),
    ({"status": "paid,failed"}, lambda payout: payout.status in {"paid", "failed"}),
    ({"status": ["paid", "failed, unknown"]}, lambda payout: payout.status in {"paid", "failed", "unknown"}),
    ({"status": "returned"}, lambda payout: payout.status == "returned"),
    ({"currency": "JPY"}, lambda payout: payout.currency == "JPY"),
    ({"amount_min": "10.50"}, lambda payout: payout.amount >= Decimal("10.50")),
    ({"amount_min": "10.5000001"}, lambda payout: payout.amount >= Decimal("10.5000001")),
    ({"amount_max": "10.5"}, lambda payout: payout.amount <= Decimal("10.5")),
    ({"amount_max": "0"}, lambda payout: payout.amount <= 0),
    ({"amount_min": "10.5", "amount_max": "10.5"}, lambda payout: payout.amount == Decimal("10.5")),
    ({"created_after": "2026-01-31T12:00:00Z"}, lambda payout: payout.created_at >= NOON),
    ({"created_before": "2026-01-31T12:00:00Z"}, lambda payout: payout.created_at < NOON),
    ({"created_after": "2026-01-31T17:30:00.000001+05:30"}, lambda payout: payout.created_at > NOON),
    (
        {"created_after": "2026-01-31T12:00:00Z", "created_before": "2026-01-31T12:00:00.000001Z"},
        lambda payout: payout.created_at == NOON,
    ),
    ({"created_after": "9999-12-31T23:59:59-23:59"}, lambda payout: False),
    ({"created_after": "0001-01-01T00:00:00+23:59"}, lambda payout: True),
    ({"reference": "order-1"}, lambda payout: payout.reference == "order-1"),
    ({"idempotency_key": "key-1"}, lambda payout: payout.idempotency_key == "key-1"),
    ({"idempotency_key": '"key-1"'}, lambda payout: payout.idempotency_key == "key-1"),
    ({"idempotency_key": " spaced "}, lambda payout: payout.idempotency_key == " spaced "),
    ({"search": "order-1"}, contains("order-1")),
    ({"search": "jane"}, contains("jane")),
    ({"search": "zoë ünal"}, contains("zoë ünal")),
    ({"search": "WEST1234"}, contains("WEST1234")),
    ({"search": "100%"}, contains("100%")),
    ({"search": "under_s"}, contains("under_s")),
    ({"search": "back\\s"}, contains("back\\s")),
    ({"search": "under%score"}, contains("under%score")),
    ({"search": "refund 100"}, contains("refund 100")),
    # Each text by itself: the end of one and the beginning of the next are no text.
    ({"search": "jane doe sandbox"}, contains("jane doe sandbox")),
    ({"metadata[department]": "returns"}, lambda payout: payout.metadata.get("department") == "returns"),
    (
        {"metadata[department]": "returns", "metadata[cost center]": "[4] & 5"},
        lambda payout: payout.metadata == {"department": "returns", "cost center": "[4] & 5"},
    ),
    ({"metadata[department]": "return"}, lambda payout: False),
    ({"metadata[a][b]": "1"}, lambda payout: payout.metadata.get("a][b") == "1"),
    ({"search": "'; DROP TABLE payouts_payout; --"}, lambda payout: False),
    (
        {"status": "pending", "currency": "EUR", "amount_min": "10.50"},
        lambda payout: payout.status == "pending" and payout.currency == "EUR" and payout.amount >= Decimal("10.5"),
    ),
]


class TestFilters:
    def test_select_what_plain_python_selects(self, api: Client, payouts: list[Payout]) -> None:
        for parameters, predicate in FILTERS:
            expected = {str(payout.id) for payout in payouts if predicate(payout)}

            response = api.get(LIST, parameters)

            assert response.status_code == 200, parameters
            assert {payout["id"] for payout in response.json()["results"]} == expected, parameters

    def test_select_by_the_time_of_the_last_change(self, api: Client, payouts: list[Payout]) -> None:
        edge = sorted(payout.updated_at for payout in payouts)[4]

        for parameter, matches in (("updated_after", edge.__le__), ("updated_before", edge.__gt__)):
            response = api.get(LIST, {parameter: edge.isoformat()})
            expected = {str(payout.id) for payout in payouts if matches(payout.updated_at)}
            assert {payout["id"] for payout in response.json()["results"]} == expected

    @pytest.mark.parametrize(
        "time", ["2026-01-31t12:00:00z", "2026-01-31T13:00:00%2B01:00", "2026-01-31T12:00:00.0000000Z"]
    )
    def test_take_a_time_in_each_spelling_of_rfc_3339(self, api: Client, payouts: list[Payout], time: str) -> None:
        response = api.get(f"{LIST}?created_before={time}&page_size=100")

        assert [payout["id"] for payout in response.json()["results"]] == [str(payouts[0].id)]

    @pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
    def test_take_the_first_and_the_last_time(self, api: Client, payouts: list[Payout], time: str) -> None:
        for name in ("created_after", "created_before", "updated_after", "updated_before"):
            for url in (LIST, SUMMARY):
                assert api.get(f"{url}?{name}={time}").status_code == 200

    def test_select_the_same_for_the_summary(self, api: Client, payouts: list[Payout]) -> None:
        for parameters, predicate in FILTERS:
            rows = api.get(SUMMARY, parameters).json()["results"]
            assert sum(row["count"] for row in rows) == sum(predicate(payout) for payout in payouts), parameters

    @pytest.mark.parametrize("ordering", ["created_at", "-created_at", "amount", "-amount"])
    def test_order(self, api: Client, payouts: list[Payout], ordering: str) -> None:
        field = ordering.lstrip("-")
        expected = sorted(
            payouts, key=lambda payout: (getattr(payout, field), payout.id), reverse=ordering.startswith("-")
        )

        found = [payout["id"] for payout in api.get(LIST, {"ordering": ordering}).json()["results"]]

        assert found == [str(payout.id) for payout in expected]


MALFORMED: list[tuple[str, str, str]] = [
    ("status=done", "status", "invalid_choice"),
    ("status=PAID", "status", "invalid_choice"),
    ("status=paid&status=done", "status", "invalid_choice"),
    ("status=paid,", "status", "invalid_choice"),
    ("status=,", "status", "invalid_choice"),
    # A percent sign in a value must not be taken for a placeholder of the message.
    ("status=%25d", "status", "invalid_choice"),
    ("status=50%25", "status", "invalid_choice"),
    ("status=%25(limit_value)s", "status", "invalid_choice"),
    ("currency=eur", "currency", "unknown_currency"),
    ("currency=XAU", "currency", "unknown_currency"),
    ("currency=CLF", "currency", "unknown_currency"),
    ("currency=EUR,USD", "currency", "unknown_currency"),
    ("currency=%25d", "currency", "unknown_currency"),
    *[
        (f"{name}={value}", name, "invalid_amount")
        for name in ("amount_min", "amount_max")
        for value in ("-1", "1e3", "NaN", "01", ".5", "1,5", "ten", "%D9%A1", "1000000000000", "9" * 5000, "%25d")
    ],
    *[
        (f"{name}={value}", name, "invalid_time")
        for name in ("created_after", "created_before", "updated_after", "updated_before")
        for value in (
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-31T12:00:00 00:00",
            "2026-01-31T25:00:00Z",
            "10000-01-01T00:00:00Z",
            "yesterday",
            "1769860800",
            "2026-01-31%2012:00:00Z",
            "%202026-01-31T12:00:00Z",
            "2026-W05-6T12:00:00Z",
            "2026-031T12:00:00Z",
            "20260131T120000Z",
            "2026-01-31T12:00Z",
            "2026-01-31T12:00:00,5Z",
            "2026-01-31T12:00:00%2B01",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:00:60Z",
            "0000-01-01T00:00:00Z",
            "%D9%A2026-01-31T12:00:00Z",
            "%25d",
        )
    ],
    ("reference=" + "r" * 256, "reference", "max_length"),
    ("idempotency_key=" + "k" * 256, "idempotency_key", "invalid_idempotency_key"),
    ("idempotency_key=caf%C3%A9", "idempotency_key", "invalid_idempotency_key"),
    ("search=ab", "search", "search_too_short"),
    ("search=%E7%8E%8B", "search", "search_too_short"),
    ("search=%E7%8E%8Ba", "search", "search_too_short"),
    ("search=%E7%8E%8B-%E5%B0%8F", "search", "search_too_short"),
    # Two Hangul fillers, and a full stop beside a character.
    ("search=%E3%85%A4%E3%85%A4", "search", "blank"),
    ("search=%E7%8E%8B%E3%80%82", "search", "search_too_short"),
    ("search=abc%E2%80%AE", "search", "invalid_character"),
    ("search=---", "search", "search_too_short"),
    ("search=%25%25%25", "search", "search_too_short"),
    ("search=a-b-c-d", "search", "search_too_short"),
    ("search=abc%0Adef", "search", "invalid_character"),
    ("metadata=returns", "metadata", "unknown_parameter"),
    ("metadata[]=returns", "metadata[]", "unknown_parameter"),
    ("metadata[department=returns", "metadata[department", "unknown_parameter"),
    ("metadata[" + "n" * 41 + "]=returns", "metadata[" + "n" * 41 + "]", "unknown_parameter"),
    ("metadata[department]=", "metadata[department]", "blank"),
    ("metadata[department]=a%00", "metadata[department]", "invalid_character"),
    ("metadata[a]=1&metadata[a]=1", "metadata[a]", "repeated_parameter"),
    ("metadata[a%00]=1", "metadata[a\x00]", "unknown_parameter"),
    ("search=" + "a" * 101, "search", "max_length"),
    ("amount_min=2&amount_max=1", "amount_min", "crossed_range"),
    (
        "created_after=2026-01-02T00:00:00Z&created_before=2026-01-01T00:00:00Z",
        "created_after",
        "crossed_range",
    ),
    (
        "updated_after=2026-01-01T00:00:00Z&updated_before=2026-01-01T00:00:00%2B01:00",
        "updated_after",
        "crossed_range",
    ),
    ("colour=red", "colour", "unknown_parameter"),
    ("Status=paid", "Status", "unknown_parameter"),
    ("status[]=paid", "status[]", "unknown_parameter"),
    ("offset=10", "offset", "unknown_parameter"),
    ("format=csv", "format", "unknown_parameter"),
    ("%00=1", "\x00", "unknown_parameter"),
    ("colour", "colour", "unknown_parameter"),
    *[
        (f"{name}={value}", name, "blank")
        for name in ("status", "currency", "amount_min", "created_after", "reference", "idempotency_key", "search")
        for value in ("", "%20")
    ],
    *[
        (f"{name}=a%00b", name, "invalid_character")
        for name in ("status", "currency", "amount_max", "updated_before", "reference", "idempotency_key", "search")
    ],
    *[
        (f"{name}=1&{name}=1", name, "repeated_parameter")
        for name in ("currency", "amount_min", "created_after", "reference", "idempotency_key", "search")
    ],
]
# The summary has no pages and no order.
MALFORMED_PAGES: list[tuple[str, str, str]] = [
    ("ordering=id", "ordering", "invalid_choice"),
    ("ordering=-status", "ordering", "invalid_choice"),
    ("ordering=amount,created_at", "ordering", "invalid_choice"),
    ("ordering=%25d", "ordering", "invalid_choice"),
    ("ordering=", "ordering", "blank"),
    ("ordering=amount&ordering=amount", "ordering", "repeated_parameter"),
    ("include=totals", "include", "invalid_choice"),
    ("include=total,", "include", "invalid_choice"),
    ("include=", "include", "blank"),
    ("cursor=", "cursor", "blank"),
    ("cursor=a&cursor=a", "cursor", "repeated_parameter"),
    ("cursor=%00", "cursor", "invalid_character"),
    ("page_size=", "page_size", "blank"),
    ("page_size=5&page_size=5", "page_size", "repeated_parameter"),
    ("page_size=%00", "page_size", "invalid_character"),
]


class TestMalformedFilters:
    def test_are_refused_with_their_name(self, api: Client) -> None:
        cases = [(url, *case) for case in MALFORMED for url in (LIST, SUMMARY)]
        cases += [(LIST, *case) for case in MALFORMED_PAGES]

        for url, query, field, code in cases:
            response = api.get(f"{url}?{query}")
            assert answers.code(response) == (400, "invalid_request"), query
            assert answers.field_errors(response) == [(field, code)], query

    def test_are_refused_all_at_once(self, api: Client) -> None:
        response = api.get(f"{LIST}?status=x&currency=y&amount_min=z")

        assert answers.field_errors(response) == [
            ("status", "invalid_choice"),
            ("currency", "unknown_currency"),
            ("amount_min", "invalid_amount"),
        ]

    @pytest.mark.parametrize("name", ["page_size", "cursor", "ordering", "include"])
    def test_of_pages_are_unknown_to_the_summary(self, api: Client, name: str) -> None:
        response = api.get(f"{SUMMARY}?{name}=amount")

        assert answers.field_errors(response) == [(name, "unknown_parameter")]

    def test_too_many_parameters_are_refused(self, api: Client) -> None:
        response = api.get(f"{LIST}?{'&'.join(f'p{number}=1' for number in range(1001))}")

        assert answers.code(response) == (400, "invalid_request")

    def test_bytes_that_are_no_utf8_match_nothing(self, api: Client) -> None:
        assert api.get(f"{LIST}?reference=%FF%FE").json()["results"] == []
