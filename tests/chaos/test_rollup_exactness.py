"""Whatever has happened, a summary says what plain Python counts: random changes, closings and questions."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest

from accounts import services as accounts_services
from accounts.models import Merchant, MerchantAPIKey
from payouts import errors, operators, services, transitions
from payouts.models import Payout, RollupMark
from payouts.states import TRANSITIONS, PayoutStatus
from payouts.summaries import rollup, summarize
from payouts.summaries.rollup import Horizon
from payouts.summaries.summarize import COLUMNS, Grouping
from tests.support import rolling
from tests.support.rolling import at, day_ago

pytestmark = pytest.mark.django_db

MakePayout = Callable[..., Payout]

DAYS: Final = 6
STEPS: Final = 40
QUESTIONS: Final = 4
ZONES: Final = [
    UTC,
    *(ZoneInfo(name) for name in ("Etc/UTC", "Africa/Abidjan", "Asia/Kathmandu", "America/New_York", "Pacific/Apia")),
]
# Where days begin and end, here and there, and what is just beside it.
HOURS: Final = (0.0, 23.9999999, 12.0, 5.75, 18.25, 4.0, 13.0)


class World:
    """Payouts of two merchants and both modes, and everything that can happen to them."""

    def __init__(self, seed: int, keys: list[MerchantAPIKey], make_payout: MakePayout) -> None:
        self.chance = random.Random(seed)
        self.keys = keys
        self.make_payout = make_payout

    def moment(self) -> datetime:
        hour = self.chance.choice([*HOURS, self.chance.uniform(0, 23.99)])
        # None of today's to come: what is created later than now is no matter of the roll-up.
        return min(at(day_ago(self.chance.randrange(DAYS)), hour), datetime.now(UTC))

    def amount(self, currency: str) -> Decimal:
        return Decimal(self.chance.randrange(1, 100_000)) / (1 if currency == "JPY" else 100)

    def payout(self, *statuses: PayoutStatus) -> Payout | None:
        there = list(Payout.objects.filter(status__in=statuses or list(PayoutStatus), deleted_at=None).order_by("id"))
        return self.chance.choice(there) if there else None

    def create(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            currency = self.chance.choice(["EUR", "EUR", "JPY"])
            self.make_payout(
                api_key=self.chance.choice(self.keys),
                created_at=self.moment(),
                currency=currency,
                amount=self.amount(currency),
            )

    def move(self) -> None:
        payout = self.payout()
        if payout is None or not TRANSITIONS[PayoutStatus(payout.status)] or payout.status == PayoutStatus.FAILED:
            return
        source = PayoutStatus(payout.status)
        target = self.chance.choice(sorted(TRANSITIONS[source]))
        transitions.move(payout.pk, source=source, target=target, actor="worker", reason="test")

    def retry(self) -> None:
        payout = self.payout(PayoutStatus.FAILED)
        if payout is not None:
            operators.retry_payout(payout, actor="operator:ada", reason="test")

    def change(self) -> None:
        payout = self.payout(PayoutStatus.PENDING)
        if payout is not None:
            currency = self.chance.choice(["EUR", "JPY"])
            try:
                services.update_payout(payout, amount=self.amount(currency), currency=currency)
            except errors.PayoutNotChangeable:
                # An operator has had it sent again.
                return

    def delete(self) -> None:
        payout = self.payout(PayoutStatus.PENDING, PayoutStatus.FAILED, PayoutStatus.CANCELED)
        if payout is not None:
            services.delete_payout(payout, actor="merchant:test")

    def close(self) -> None:
        rollup.close_next_day(Horizon(0, day_ago(1)))

    def refresh(self) -> None:
        rollup.refresh_marked_days()

    def rebuild(self) -> None:
        closed = rollup.closed_days(None, None)
        if closed:
            rollup.rebuild_day(self.chance.choice(closed))

    def question(self) -> tuple[dict[str, Any], Grouping]:
        query: dict[str, Any] = {}
        if self.chance.random() < 0.4:
            query["status"] = self.chance.sample(PayoutStatus.values, self.chance.randrange(1, 4))
        if self.chance.random() < 0.3:
            query["currency"] = self.chance.choice(["EUR", "JPY"])
        if self.chance.random() < 0.2:
            query["amount_min"] = "300"
        beside = [timedelta(microseconds=self.chance.choice([-1, 0, 0, 0, 1])) for _ in range(2)]
        edges = sorted(self.moment() + shift for shift in beside)
        for name, edge in zip(("created_after", "created_before"), edges, strict=True):
            if self.chance.random() < 0.5:
                query[name] = edge.isoformat()
        groups = frozenset(self.chance.sample(COLUMNS, self.chance.randrange(1, 5)))
        return query, Grouping(groups, self.chance.choice(ZONES) if "day" in groups else UTC)

    def expected(self, key: MerchantAPIKey, query: dict[str, Any], grouping: Grouping) -> dict[str, Any]:
        after, before = (
            datetime.fromisoformat(query[name]) if name in query else None
            for name in ("created_after", "created_before")
        )
        selected = [
            payout
            for payout in Payout.objects.filter(merchant=key.merchant_id, mode=key.mode)
            if payout.deleted_at is None
            and payout.status in query.get("status", PayoutStatus.values)
            and payout.currency in query.get("currency", ("EUR", "JPY"))
            and payout.amount >= Decimal(query.get("amount_min", 0))
            and (after is None or payout.created_at >= after)
            and (before is None or payout.created_at < before)
        ]
        return rolling.summed(selected, grouping.groups, grouping.zone)


@pytest.fixture
def keys(acme_key: MerchantAPIKey, acme: Merchant, globex: Merchant, settings: Any) -> list[MerchantAPIKey]:
    settings.LIVE_PROVIDER = "sandbox"
    live_key, _ = accounts_services.issue_api_key(acme, name="live", mode="live")
    globex_key, _ = accounts_services.issue_api_key(globex, name="test")
    return [acme_key, live_key, globex_key]


@pytest.mark.parametrize("seed", range(3))
def test_summaries_are_exact_whatever_has_happened(
    seed: int, keys: list[MerchantAPIKey], make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With so few of them, more ranges than queries are common.
    monkeypatch.setattr(summarize, "_QUERIES_MAX", 1 + seed % 3)
    world = World(seed, keys, make_payout)
    steps = [
        *[world.create] * 6,
        *[world.move] * 8,
        *[world.change] * 2,
        *[world.delete] * 2,
        *[world.retry] * 2,
        *[world.close] * 2,
        *[world.refresh] * 3,
        world.rebuild,
    ]
    # Some days are closed from the beginning, and some are not at the end.
    for step in (world.create, world.create, world.close):
        step()
    marked = closed = 0
    for _ in range(STEPS):
        world.chance.choice(steps)()
        marked += RollupMark.objects.exists()
        closed += bool(rollup.closed_days(None, None))
        for _ in range(QUESTIONS):
            key = world.chance.choice(keys)
            query, grouping = world.question()
            told = rolling.summary(key, urlencode(query, doseq=True), grouping)
            assert told == world.expected(key, query, grouping), (query, grouping)

    # It has been through what it is about.
    assert marked >= STEPS // 4
    assert closed >= STEPS // 4
    rolling.close(day_ago(1))
    rolling.refresh()
    assert rolling.differences(*(day_ago(number) for number in range(1, DAYS + 1))) == []
