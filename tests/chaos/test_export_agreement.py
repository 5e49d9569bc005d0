"""Exports, lists, summaries and plain Python find the same payouts and the same sums."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client

from payouts.models import Payout
from tests.support import database, exporting
from tests.support.listing import pages

URL = "/api/payouts/export/"

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

MakePayout = Callable[..., Payout]

STATUSES = ("pending", "paid", "failed", "canceled")


@pytest.fixture
def assorted_payouts(make_payout: MakePayout) -> list[Payout]:
    """Forty payouts of few values, so that any filter selects some of them."""
    chance = random.Random(5)
    made = []
    for number in range(40):
        payout = make_payout(
            amount=Decimal(chance.choice(["1.00", "2.50", "100.00"])),
            currency=chance.choice(["EUR", "USD", "GBP"]),
            comment=chance.choice(["", "Refund of order", "Prize"]),
            reference=chance.choice(["", "r-1", "r-2"]),
            metadata=chance.choice([{}, {"team": "a"}, {"team": "b", "x": "y"}]),
            created_at=NOON + timedelta(hours=number // 4),
        )
        made.append(database.put_into(payout, chance.choice([s for s in database.PATHS if s in STATUSES])))
    return made


def selected(payouts: list[Payout], filters: dict[str, str]) -> list[Payout]:
    """Filter in plain Python."""
    tests: dict[str, Callable[[Payout, str], bool]] = {
        "status": lambda payout, value: payout.status in value.split(","),
        "currency": lambda payout, value: payout.currency == value,
        "amount_min": lambda payout, value: payout.amount >= Decimal(value),
        "amount_max": lambda payout, value: payout.amount <= Decimal(value),
        "created_after": lambda payout, value: payout.created_at >= datetime.fromisoformat(value),
        "created_before": lambda payout, value: payout.created_at < datetime.fromisoformat(value),
        "reference": lambda payout, value: payout.reference == value,
        "search": lambda payout, value: value.lower() in payout.comment.lower(),
        "metadata[team]": lambda payout, value: payout.metadata.get("team") == value,
    }
    return [payout for payout in payouts if all(tests[name](payout, value) for name, value in filters.items())]


def in_order(payouts: list[Payout], ordering: str) -> list[Payout]:
    field = ordering.lstrip("-")
    rows = sorted(payouts, key=lambda payout: (getattr(payout, field), payout.id))
    return rows[::-1] if ordering.startswith("-") else rows


def some_filters(chance: random.Random) -> dict[str, str]:
    choices = {
        "status": ["pending", "paid,failed", "canceled"],
        "currency": ["EUR", "USD"],
        "amount_min": ["2.50", "1.01"],
        "amount_max": ["2.50", "99.99"],
        "created_after": [(NOON + timedelta(hours=hours)).isoformat() for hours in (0, 3)],
        "created_before": [(NOON + timedelta(hours=hours)).isoformat() for hours in (5, 8)],
        "reference": ["r-1"],
        "search": ["refund", "RIZ"],
        "metadata[team]": ["a", "b"],
    }
    names = chance.sample(sorted(choices), k=chance.choice([0, 1, 1, 2, 2, 3]))
    filters = {name: chance.choice(choices[name]) for name in names}
    return {} if filters.get("amount_min", "0") > filters.get("amount_max", "9") else filters


class TestAgreement:
    def test_export_list_summary_and_plain_python_agree_whatever_is_asked_for(
        self, api: Client, assorted_payouts: list[Payout]
    ) -> None:
        chance = random.Random(7)
        found = 0
        for _ in range(40):
            filters, ordering = some_filters(chance), chance.choice(["-created_at", "created_at", "-amount", "amount"])
            expected = in_order(selected(assorted_payouts, filters), ordering)
            found += len(expected)

            data = api.get(URL, {**filters, "ordering": ordering}).getvalue()
            lines, trailer = exporting.ndjson_rows(
                api.get(URL, {**filters, "ordering": ordering, "format": "ndjson"}).getvalue()
            )

            ids = [str(payout.id) for payout in expected]
            assert [row["id"] for row in exporting.csv_rows(data)] == ids, (filters, ordering)
            assert [line["id"] for line in lines] == ids, (filters, ordering)
            assert self._listed(api, filters, ordering) == ids
            assert trailer["amounts"] == self._summed(api, filters) == sums(expected), filters
        # Or the filters would select nothing at all.
        assert found > 200

    def _listed(self, api: Client, filters: dict[str, str], ordering: str) -> list[str]:
        query = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in filters.items())
        url = f"/api/payouts/?page_size=7&ordering={ordering}&{query}".rstrip("&")
        return [payout["id"] for page in pages(api, url) for payout in page["results"]]

    def _summed(self, api: Client, filters: dict[str, str]) -> dict[str, str]:
        totals = api.get("/api/payouts/summary/", filters).json()["totals"]
        return {total["currency"]: total["amount"] for total in totals}


def sums(payouts: list[Payout]) -> dict[str, str]:
    added: defaultdict[str, Decimal] = defaultdict(Decimal)
    for payout in payouts:
        added[payout.currency] += payout.amount
    return {currency: f"{added[currency]:.2f}" for currency in sorted(added)}
