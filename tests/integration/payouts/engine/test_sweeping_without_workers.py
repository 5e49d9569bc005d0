"""The sweeper does the work itself when no worker can be reached, or none comes."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from django.db.models import F

from payouts.engine import sweep as sweeping
from payouts.models import Payout
from payouts.providers import base
from tests.support import database, fake_provider
from tests.support.doorbell import Doorbell
from tests.support.fake_provider import FakeProvider

REENQUEUE_SECONDS = sweeping.REENQUEUE_AFTER.total_seconds()

MakePayout = Callable[..., Payout]


@pytest.mark.django_db
class TestDeadBell:
    def test_processes_itself(self, dead_broker: None, missed_payout: Payout) -> None:
        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=1, processed=1)
        assert database.statuses(missed_payout) == ["pending", "processing", "paid"]

    def test_is_rung_once_a_round(
        self, dead_broker: None, make_payout: MakePayout, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(3):
            database.make_due(make_payout())

        assert sweeping.sweep() == sweeping.Sweep(due=3, processed=3)
        assert caplog.messages.count("enqueue.failed") == 1

    def test_oldest_first(self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payouts = [make_live_payout() for _ in range(3)]
        for payout, seconds in zip(payouts, (10, 30, 20), strict=True):
            database.make_due(payout, seconds=seconds)

        sweeping.sweep()

        sent = [call.instruction.reference for call in provider.calls]
        assert sent == [str(payouts[number].pk) for number in (1, 2, 0)]

    def test_begins_no_new_call_after_a_while(
        self,
        dead_broker: None,
        provider: FakeProvider,
        make_live_payout: MakePayout,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What else the sweeper does must not wait for a slow provider. The next round goes on where this one ended."""
        clock, passed = time.monotonic, [0.0]
        monkeypatch.setattr(time, "monotonic", lambda: clock() + passed[0])

        def send(instruction: base.Instruction) -> base.Report:
            passed[0] += 0.6 * sweeping.INLINE_SECONDS
            return fake_provider.PAID

        provider.on_send(send)
        payouts = [make_live_payout() for _ in range(3)]
        for payout in payouts:
            database.make_due(payout)

        first, second = sweeping.sweep(), sweeping.sweep()

        assert (first, second) == (sweeping.Sweep(due=3, processed=2), sweeping.Sweep(due=1, processed=1))
        assert provider.kinds == ["send"] * 3

    def test_does_not_ring_or_keep_what_it_cannot_begin(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        """Its room is taken: it waits on, and is tried again when that may have changed."""
        provider.promise(concurrency_max=0)
        database.make_due(make_live_payout())

        swept = [sweeping.sweep(), sweeping.sweep()]

        assert swept == [sweeping.Sweep(due=1, processed=1), sweeping.Sweep()]
        assert provider.calls == []
        waiting = Payout.objects.get()
        assert waiting.status == "pending"
        assert waiting.turned_away_at is not None


@pytest.mark.django_db
class TestNobodyCame:
    """The bell works, and there is nobody to hear it: a dead worker beside a Redis that is well."""

    def test_processes_what_has_waited_for_long(
        self, doorbell: Doorbell, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        old, young = make_live_payout(), make_live_payout()
        for payout in (old, young):
            database.make_due(payout, seconds=REENQUEUE_SECONDS)
        # Rung for when it became due, which the other never was: its ring may be heard yet.
        Payout.objects.filter(pk=old.pk).update(rung_at=F("due_at"))
        doorbell.silence()

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=2, rung=2, processed=1)
        assert [database.statuses(payout)[-1] for payout in (old, young)] == ["paid", "pending"]
        assert [call.instruction.reference for call in provider.calls] == [str(old.pk)]
        # A worker that comes after all finds nothing to do for the first.
        assert doorbell.rung() == 2

    def test_rings_and_processes_again_after_as_long(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.UNAVAILABLE, fake_provider.PAID)
        for _ in range(2):
            database.make_due(live_payout, seconds=REENQUEUE_SECONDS)
            Payout.objects.update(rung_at=F("due_at"))

            swept = sweeping.sweep()

            assert swept == sweeping.Sweep(due=1, rung=1, processed=1)
        assert database.statuses(live_payout) == ["pending", *("processing", "pending"), *("processing", "paid")]
