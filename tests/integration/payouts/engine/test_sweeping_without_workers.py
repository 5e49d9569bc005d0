"""The sweeper does the work itself when no worker can be reached, or none comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from payouts import tasks
from payouts.engine import rounds
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

    def test_claims_no_more_after_a_while(
        self,
        dead_broker: None,
        provider: FakeProvider,
        make_live_payout: MakePayout,
        monkeypatch: pytest.MonkeyPatch,
        settings: Any,
    ) -> None:
        """What else the sweeper does must not wait for a slow provider. The next round goes on where this one ended."""
        settings.WORKER_CALLS = 1
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

        assert first == sweeping.Sweep(due=3, processed=2, is_unfinished=True)
        assert second == sweeping.Sweep(due=1, processed=1)
        assert provider.kinds == ["send"] * 3

    def test_leaves_what_finds_no_place(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        provider.promise(concurrency_max=0)
        database.make_due(make_live_payout())

        swept = [sweeping.sweep(), sweeping.sweep()]

        assert swept == [sweeping.Sweep(due=1)] * 2
        assert provider.calls == []
        assert Payout.objects.get().status == "pending"


@pytest.mark.django_db
class TestNobodyCame:
    """The bell works, and there is nobody to hear it: a dead worker beside a Redis that is well."""

    def test_processes_what_has_waited_for_long(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        database.make_due(live_payout, seconds=REENQUEUE_SECONDS - 1)
        early = sweeping.sweep()
        database.make_due(live_payout, seconds=REENQUEUE_SECONDS)

        swept = sweeping.sweep()

        assert early == sweeping.Sweep(due=1, rung=1)
        assert swept == sweeping.Sweep(due=1, rung=1, processed=1)
        assert database.statuses(live_payout)[-1] == "paid"

    def test_processes_again_after_as_long(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.UNAVAILABLE, fake_provider.PAID)
        for _ in range(2):
            database.make_due(live_payout, seconds=REENQUEUE_SECONDS)

            swept = sweeping.sweep()

            assert swept == sweeping.Sweep(due=1, rung=1, processed=1)
        assert database.statuses(live_payout) == ["pending", *("processing", "pending"), *("processing", "paid")]


@pytest.mark.django_db
class TestSilentBroker:
    """It takes connections and never says a word. Each message costs half a second, and no round sends many."""

    def test_holds_up_no_round_of_the_sweeper(
        self, silent_broker: None, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        for _ in range(3 * sweeping._OF_A_MESSAGE):
            database.make_due(make_live_payout())
        began = time.monotonic()

        swept = sweeping.sweep()

        assert (swept.processed, swept.rung) == (3 * sweeping._OF_A_MESSAGE, 0)
        # One message, which was given up. A socket without time-outs would be waited for without end.
        assert time.monotonic() - began < sweeping.INLINE_SECONDS

    def test_holds_up_no_task_of_a_worker(
        self, silent_broker: None, provider: FakeProvider, make_live_payout: MakePayout, settings: Any
    ) -> None:
        """It would wake another process, since it has more to do than it can do at once."""
        settings.WORKER_CALLS = 1
        for _ in range(3):
            make_live_payout()
        began = time.monotonic()

        rounds.run(on_backlog=tasks._wake_another)

        assert provider.kinds == ["send"] * 3
        assert time.monotonic() - began < sweeping.INLINE_SECONDS
