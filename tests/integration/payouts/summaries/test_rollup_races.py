"""The roll-up beside those who change payouts and those who read sums: real threads, real commits."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from functools import partial
from typing import Any, Final

import pytest
from django.db import transaction
from django.db.models.functions import Now

from accounts.models import MerchantAPIKey
from payouts import services
from payouts.models import Payout, RollupCell, RollupMark
from payouts.summaries import rollup, rollup_sql
from payouts.summaries.rollup import Horizon
from postgres import snapshots
from tests.support import database, racing, rolling
from tests.support.rolling import ALIAS, at, day_ago

pytestmark = pytest.mark.django_db(transaction=True)

MakePayout = Callable[..., Payout]
Elsewhere = Callable[[Callable[[], Any]], "Future[Any]"]

STRESS_SECONDS = 2.0


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """Have something done by another thread, on a connection of its own."""
    with rolling.others() as other:
        yield other


def cancel(payout: Payout) -> None:
    services.cancel_payout(payout, actor="merchant:test")


def statuses(key: MerchantAPIKey) -> dict[str, int]:
    return {row["status"]: row["count"] for row in rolling.summary(key)["results"]}


def wait_for_the_waiting() -> None:
    """Wait until somebody waits for a lock. By another thread: who looks has a snapshot from then on."""
    rolling.eventually(rolling.is_waiting_for_a_lock)


class TestChangeDuringRefresh:
    def test_keeps_its_mark_where_the_refresher_did_not_see_it(
        self, acme_key: MerchantAPIKey, make_payout: MakePayout, elsewhere: Elsewhere
    ) -> None:
        first, second = (make_payout(created_at=at(day_ago(1))) for _ in range(2))
        rolling.close(day_ago(1))
        cancel(first)

        with transaction.atomic():
            # The refresher has its snapshot and is about to delete the cell that is locked here.
            list(RollupCell.objects.select_for_update())
            refreshed = elsewhere(rollup.refresh_marked_days)
            elsewhere(wait_for_the_waiting).result()
            elsewhere(partial(cancel, second)).result()
            during = elsewhere(partial(statuses, acme_key)).result()
        assert refreshed.result() == 1

        assert during == {"canceled": 2}
        # Its cells are those of before the second change, whose mark says so.
        assert {row.status: row.count for row in RollupCell.objects.all()} == {"canceled": 1, "pending": 1}
        assert RollupMark.objects.count() == 1
        assert statuses(acme_key) == {"canceled": 2}
        rolling.refresh()
        assert {row.status: row.count for row in RollupCell.objects.all()} == {"canceled": 2}
        assert statuses(acme_key) == {"canceled": 2}

    def test_is_not_seen_by_a_summary_that_began_before_it(
        self, acme_key: MerchantAPIKey, make_payout: MakePayout, elsewhere: Elsewhere
    ) -> None:
        """It could find the marks of before and the cells of after."""
        payout = make_payout(created_at=at(day_ago(1)))
        rolling.close(day_ago(1))

        with snapshots.reading(ALIAS):
            before = rolling.summary(acme_key)
            elsewhere(partial(cancel, payout)).result()
            elsewhere(rolling.refresh).result()
            again = rolling.summary(acme_key)

        assert [row["status"] for row in before["results"]] == ["pending"]
        assert again == before
        assert statuses(acme_key) == {"canceled": 1}

    def test_is_seen_whole_or_not_at_all(
        self, acme_key: MerchantAPIKey, make_payout: MakePayout, elsewhere: Elsewhere
    ) -> None:
        """One payout is told by a cell, the other is read live, and both change between the two looks."""
        told = make_payout(created_at=at(day_ago(1)), amount=Decimal(1))
        live = make_payout(amount=Decimal(2))
        rolling.close(day_ago(1))

        with transaction.atomic():
            database.execute("LOCK TABLE payouts_payout IN ACCESS EXCLUSIVE MODE")
            summary = elsewhere(partial(rolling.summary, acme_key))
            elsewhere(wait_for_the_waiting).result()
            for payout, amount in ((told, 10), (live, 20)):
                Payout.objects.filter(pk=payout.pk).update(amount=Decimal(amount))

        assert [row["amount"] for row in summary.result()["totals"]] == ["3.00"]
        assert [row["amount"] for row in rolling.summary(acme_key)["totals"]] == ["30.00"]


class TestTurns:
    def test_come_before_the_snapshot(
        self, acme_key: MerchantAPIKey, make_payout: MakePayout, elsewhere: Elsewhere
    ) -> None:
        """Whoever has waited sees what was done by whom it waited for, and what was changed meanwhile."""
        payout = make_payout(created_at=at(day_ago(1)))
        rolling.close(day_ago(1))

        with snapshots.writing(ALIAS, lock=rollup_sql.LOCK):
            waiting = elsewhere(partial(rollup.rebuild_day, day_ago(1)))
            # By others, for this transaction must not have its snapshot yet.
            elsewhere(wait_for_the_waiting).result()
            elsewhere(partial(cancel, payout)).result()
            rollup_sql.write_day(day_ago(1))

        assert waiting.result() == 1
        assert RollupMark.objects.count() == 0
        assert rolling.differences(day_ago(1)) == []
        assert statuses(acme_key) == {"canceled": 1}

    def test_are_taken_by_one_of_two_sweepers(self, acme_key: MerchantAPIKey, make_payout: MakePayout) -> None:
        payouts = [make_payout(created_at=at(day_ago(number))) for number in (5, 3, 3, 1)]
        horizon = Horizon(0, day_ago(1))
        for payout in payouts[:3]:
            racing.run_together(*[partial(rollup.maintain, horizon)] * 2)
            cancel(payout)
        results = racing.run_together(*[partial(rollup.maintain, horizon)] * 4)

        assert [result for result in results if isinstance(result, Exception)] == []
        rolling.close(day_ago(1))
        rolling.refresh()
        assert rollup.closed_before() == day_ago(0)
        assert RollupMark.objects.count() == 0
        assert rolling.differences(*(day_ago(number) for number in range(1, 6))) == []
        assert statuses(acme_key) == {"canceled": 3, "pending": 1}


class TestHorizon:
    """A transaction that wrote before midnight and commits after it. Here midnight is now: today is said to be over."""

    @pytest.fixture
    def horizon(self) -> Callable[[], Horizon]:
        return lambda: replace(rollup.take_horizon(), day=day_ago(0))

    @pytest.mark.parametrize("is_change", [False, True])
    def test_waits_for_a_transaction_that_has_left_no_mark(
        self,
        acme_key: MerchantAPIKey,
        make_payout: MakePayout,
        elsewhere: Elsewhere,
        horizon: Callable[[], Horizon],
        *,
        is_change: bool,
    ) -> None:
        existing = make_payout()

        with transaction.atomic():
            if is_change:
                cancel(existing)
            else:
                make_payout()
            # The id of this transaction is the last that was given out, and none has ended since.
            taken = elsewhere(horizon).result()
            closing = elsewhere(partial(rollup.close_next_day, taken))
            with pytest.raises(rollup.NotYetEnded):
                closing.result()
            assert elsewhere(rollup.closed_before).result() is None
        rolling.eventually(lambda: not self.is_early(taken))

        assert RollupMark.objects.count() == 0
        assert rollup.closed_before() == day_ago(-1)
        assert rolling.differences(day_ago(0)) == []
        assert statuses(acme_key) == ({"canceled": 1} if is_change else {"pending": 2})

    def is_early(self, horizon: Horizon) -> bool:
        try:
            rollup.close_next_day(horizon)
        except rollup.NotYetEnded:
            return True
        return False

    def test_does_not_wait_for_a_transaction_that_began_later(
        self, make_payout: MakePayout, elsewhere: Elsewhere, horizon: Callable[[], Horizon]
    ) -> None:
        """It finds the day to be over, and leaves a mark: here, one of yesterday."""
        make_payout(created_at=at(day_ago(1)))
        taken = replace(horizon(), day=day_ago(1))
        rolling.eventually(lambda: not self.is_open_before(taken))

        with transaction.atomic():
            make_payout(created_at=at(day_ago(1)))
            assert elsewhere(partial(rollup.close_next_day, taken)).result() == day_ago(0)

        assert RollupMark.objects.count() == 1
        assert RollupCell.objects.get().count == 1

    def is_open_before(self, horizon: Horizon) -> bool:
        with snapshots.reading(ALIAS):
            return rollup._oldest_under_way() < horizon.transaction_id

    def test_does_not_wait_for_those_who_only_read(
        self, make_payout: MakePayout, elsewhere: Elsewhere, horizon: Callable[[], Horizon]
    ) -> None:
        make_payout()

        with transaction.atomic():
            assert Payout.objects.count() == 1
            taken = elsewhere(horizon).result()
            rolling.eventually(lambda: not elsewhere(partial(self.is_early, taken)).result())

        assert rollup.closed_before() == day_ago(-1)


class Stress:
    """What goes on at the same time, each until the time is up: changes, both ways to make cells anew, and readers."""

    STEPS: Final = {"pending": ["processing", "canceled"], "processing": ["pending", "paid"], "paid": ["returned"]}

    def __init__(self, key: MerchantAPIKey, make_payout: MakePayout) -> None:
        self.key = key
        self.make_payout = make_payout
        self.days = [day_ago(number) for number in range(1, 5)]
        self.payouts = [make_payout(created_at=at(day, 23.9)) for day in self.days for _ in range(6)]
        self.ends_at = time.monotonic() + STRESS_SECONDS

    def loop(self, step: Callable[[random.Random], None], seed: int) -> int:
        """Do it over and over, and return how often."""
        chance = random.Random(seed)
        for number in itertools.count():
            if time.monotonic() > self.ends_at:
                return number
            step(chance)
        raise AssertionError

    def create(self, chance: random.Random) -> None:
        self.make_payout(created_at=at(chance.choice(self.days), chance.uniform(0, 23.99)))

    def change(self, chance: random.Random) -> None:
        amount = Decimal(chance.randrange(1, 1000)) / 100
        Payout.objects.filter(pk=chance.choice(self.payouts).pk, status="pending").update(amount=amount)
        self.move(chance)

    def move(self, chance: random.Random) -> None:
        """Take one a step on, or off the list, as nobody but a test does."""
        current = Payout.objects.get(pk=chance.choice(self.payouts).pk)
        there = Payout.objects.filter(pk=current.pk, status=current.status)
        if current.status in self.STEPS:
            there.update(status=chance.choice(self.STEPS[current.status]))
        else:
            there.update(deleted_at=Now())

    def refresh(self, chance: random.Random) -> None:
        del chance
        rollup.maintain(Horizon(0, self.days[0]))

    def rebuild(self, chance: random.Random) -> None:
        rollup.rebuild_day(chance.choice(self.days))

    def read(self, chance: random.Random) -> None:
        del chance
        with snapshots.reading(ALIAS):
            told = rolling.summary(self.key)
            there = list(Payout.objects.of_merchant(self.key.merchant_id, self.key.mode))
        assert told == rolling.summed(there, frozenset({"status"}), UTC)


class TestStress:
    def test_summaries_are_exact_all_the_time(self, acme_key: MerchantAPIKey, make_payout: MakePayout) -> None:
        stress = Stress(acme_key, make_payout)
        rolling.close(stress.days[0])
        steps = [stress.create, stress.change, stress.change, stress.refresh, stress.rebuild, stress.read, stress.read]

        results = racing.run_together(*(partial(stress.loop, step, seed) for seed, step in enumerate(steps)))

        assert [result for result in results if not isinstance(result, int)] == []
        # It was a race.
        assert min(results) >= 5, results
        rolling.refresh()
        assert RollupMark.objects.count() == 0
        assert rolling.differences(*stress.days) == []
