from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from payouts import services
from payouts.engine import backlog, heartbeats, pauses, processing
from payouts.engine import sweep as sweeping
from payouts.models import Payout, ProviderCallback, ProviderCircuit
from payouts.providers import base
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, racing, telling
from tests.support.doorbell import Doorbell
from tests.support.fake_provider import Answer, FakeProvider

NEVER_AGAIN = [PayoutStatus.FAILED, PayoutStatus.CANCELED, PayoutStatus.RETURNED, PayoutStatus.REQUIRES_ATTENTION]
REENQUEUE_SECONDS = sweeping.REENQUEUE_AFTER.total_seconds()

MakePayout = Callable[..., Payout]


@pytest.fixture
def missed_payout(doorbell: Doorbell, make_payout: MakePayout) -> Payout:
    """Nobody heard the bell."""
    payout = make_payout()
    doorbell.silence()
    database.make_due(payout)
    return payout


@pytest.fixture
def idle_payout(live_payout: Payout) -> Payout:
    """There is nothing to do about it for an hour."""
    database.make_due(live_payout, seconds=-3600)
    return live_payout


def turn_back(*columns: str, seconds: float) -> None:
    """Let these times of all payouts have been so many seconds earlier."""
    Payout.objects.update(**{column: F(column) - timedelta(seconds=seconds) for column in columns})


def abandon(provider: FakeProvider, payout: Payout) -> None:
    """Let a worker die that was sending it, and its lease run out."""
    provider.on_send(fake_provider.WorkerKilled())
    with pytest.raises(fake_provider.WorkerKilled):
        processing.process(payout.pk)
    database.expire_lease(payout)


@contextmanager
def poisoned(payout: Payout, *, table: str = "payouts_payoutattempt", also: str = "true") -> Iterator[None]:
    """Have the database refuse a row of this payout."""
    connection.check_constraints()
    check = f"NOT (payout_id = '{payout.pk}' AND {also})"
    database.execute(f"ALTER TABLE {table} ADD CONSTRAINT no_poison CHECK ({check}) NOT VALID")
    yield
    connection.check_constraints()
    database.execute(f"ALTER TABLE {table} DROP CONSTRAINT no_poison")


@pytest.mark.django_db
class TestSweep:
    def test_rings_for_what_was_missed(self, doorbell: Doorbell, missed_payout: Payout) -> None:
        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=1, rung=1)
        assert doorbell.rung() == 1
        missed_payout.refresh_from_db()
        assert (missed_payout.status, missed_payout.version) == ("pending", 1)
        assert missed_payout.rung_at is not None

    def test_does_not_ring_twice_for_the_same(self, doorbell: Doorbell, missed_payout: Payout) -> None:
        sweeping.sweep()
        turn_back("rung_at", "due_at", seconds=REENQUEUE_SECONDS - 15)

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep()
        assert doorbell.rung() == 1

    def test_rings_again_when_nobody_came_for_long(self, doorbell: Doorbell, missed_payout: Payout) -> None:
        sweeping.sweep()
        turn_back("rung_at", seconds=REENQUEUE_SECONDS)

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=1, rung=1)
        assert doorbell.rung() == 2

    def test_rings_at_once_for_what_has_become_due_since_it_rang(
        self, doorbell: Doorbell, missed_payout: Payout
    ) -> None:
        sweeping.sweep()
        turn_back("rung_at", seconds=5)
        database.make_due(missed_payout, seconds=4)

        assert sweeping.sweep() == sweeping.Sweep(due=1, rung=1)

    def test_leaves_what_was_rung_for_just_now(self, doorbell: Doorbell, make_payout: MakePayout) -> None:
        make_payout()

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep()
        assert doorbell.rung() == 0

    def test_leaves_what_is_due_later(self, doorbell: Doorbell, missed_payout: Payout) -> None:
        database.make_due(missed_payout, seconds=-60)

        assert sweeping.sweep() == sweeping.Sweep()

    @pytest.mark.parametrize("status", NEVER_AGAIN)
    def test_leaves_what_is_over(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout, status: PayoutStatus
    ) -> None:
        answers: dict[PayoutStatus, Answer] = {
            PayoutStatus.FAILED: fake_provider.REJECTED,
            PayoutStatus.RETURNED: fake_provider.RETURNED,
        }
        if status == PayoutStatus.CANCELED:
            services.cancel_payout(live_payout, actor="merchant:x")
        elif status == PayoutStatus.REQUIRES_ATTENTION:
            provider.on_send(fake_provider.UNKNOWN)
            provider.on_ask(fake_provider.UNKNOWN)
            processing.process(live_payout.pk)
            database.age(live_payout, seconds=2 * 24 * 3600)
            database.make_due(live_payout)
        else:
            provider.on_send(answers[status])
        processing.process(live_payout.pk)

        swept = sweeping.sweep()

        live_payout.refresh_from_db()
        assert live_payout.status == status
        assert swept == sweeping.Sweep()

    def test_rings_at_once_for_what_is_to_be_asked(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        processing.process(live_payout.pk)
        database.make_due(live_payout, seconds=0)

        assert sweeping.sweep() == sweeping.Sweep(due=1, rung=1)

    def test_takes_the_oldest_first_and_no_more_than_a_batch(self, doorbell: Doorbell, make_payout: MakePayout) -> None:
        newest = make_payout()
        for _ in range(sweeping.BATCH):
            database.make_due(make_payout(), seconds=20)
        database.make_due(newest, seconds=10)

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=sweeping.BATCH, rung=sweeping.BATCH)
        assert doorbell.rung() == sweeping.BATCH
        assert [payout.pk for payout in Payout.objects.filter(rung_at__isnull=True)] == [newest.pk]
        # Nothing is found twice, so it may go on at once, and ends by itself.
        assert swept.has_more is True
        assert sweeping.sweep() == sweeping.Sweep(due=1, rung=1)
        assert sweeping.sweep() == sweeping.Sweep()

    @pytest.mark.parametrize(
        ("done", "has_more"),
        [
            (sweeping.Sweep(), False),
            (sweeping.Sweep(due=99, rung=99, processed=99, expired=99, callbacks=99), False),
            (sweeping.Sweep(due=100), True),
            (sweeping.Sweep(expired=100), True),
            (sweeping.Sweep(callbacks=100), True),
        ],
    )
    def test_goes_on_at_once_after_a_full_batch(self, done: sweeping.Sweep, *, has_more: bool) -> None:
        assert done.has_more is has_more

    def test_leaves_alone_what_only_another_version_can_send(self, dead_broker: None, make_payout: MakePayout) -> None:
        """A newer one is being rolled out: claimed by this one, it would look as if it might have been sent."""
        strange, good = make_payout(), make_payout()
        Payout.objects.filter(pk=strange.pk).update(provider="coming")
        database.make_due(strange, seconds=100)
        database.make_due(good)

        swept = sweeping.sweep()
        processing.process(strange.pk)

        assert swept == sweeping.Sweep(due=1, processed=1)
        assert [database.statuses(payout)[-1] for payout in (strange, good)] == ["pending", "paid"]
        assert not strange.attempts.exists()
        # Somebody should notice all the same.
        assert backlog.backlog()["due"] == 1


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


@pytest.mark.django_db
class TestExpiredLeases:
    def test_become_unknown_and_are_rung_for(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        abandon(provider, live_payout)

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(expired=1, due=1, rung=1)
        assert database.statuses(live_payout) == ["pending", "processing", "unknown"]
        assert provider.kinds == ["send"]

    def test_that_last_are_left_alone(self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.WorkerKilled())
        with pytest.raises(fake_provider.WorkerKilled):
            processing.process(live_payout.pk)

        assert sweeping.sweep() == sweeping.Sweep()
        assert database.statuses(live_payout) == ["pending", "processing"]

    def test_are_asked_about_here_without_a_bell(
        self, dead_broker: None, provider: FakeProvider, live_payout: Payout
    ) -> None:
        abandon(provider, live_payout)

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(expired=1, due=1, processed=1)
        assert provider.kinds == ["send", "ask"]
        assert database.statuses(live_payout) == ["pending", "processing", "unknown", "paid"]

    def test_of_a_worker_that_was_asking_need_no_change(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(fake_provider.WorkerKilled())
        processing.process(live_payout.pk)
        database.make_due(live_payout)
        with pytest.raises(fake_provider.WorkerKilled):
            processing.process(live_payout.pk)
        database.expire_lease(live_payout)

        assert sweeping.sweep() == sweeping.Sweep(due=1, rung=1)
        assert database.statuses(live_payout) == ["pending", "processing", "unknown"]


@pytest.mark.django_db
class TestCallbacks:
    def test_that_nobody_applied_are_applied_here(self, doorbell: Doorbell, idle_payout: Payout) -> None:
        doorbell.silence()
        telling.store(idle_payout.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(callbacks=1)
        assert database.statuses(idle_payout) == ["pending", "processing", "paid"]
        assert doorbell.rung() == 0
        assert sweeping.sweep() == sweeping.Sweep()

    def test_that_were_rung_for_just_now_are_left_to_the_workers(self, idle_payout: Payout) -> None:
        telling.store(idle_payout.pk, "paid")

        assert sweeping.sweep() == sweeping.Sweep()
        assert ProviderCallback.objects.get().applied_at is None

    def test_of_a_provider_that_only_another_version_has_wait_for_it(self, idle_payout: Payout) -> None:
        telling.store(idle_payout.pk, "paid")
        ProviderCallback.objects.update(provider="coming", received_at=Now() - timedelta(seconds=3))

        assert sweeping.sweep() == sweeping.Sweep()
        assert ProviderCallback.objects.get().applied_at is None


class TestPoison:
    """A row that cannot be processed stops nothing behind it."""

    @pytest.mark.django_db
    def test_a_payout(self, dead_broker: None, make_payout: MakePayout, caplog: pytest.LogCaptureFixture) -> None:
        bad, good = make_payout(), make_payout()
        database.make_due(bad, seconds=100)
        database.make_due(good)

        with poisoned(bad):
            swept = [sweeping.sweep(), sweeping.sweep()]

        # It is tried again, and not at once.
        assert swept == [sweeping.Sweep(due=2, processed=1), sweeping.Sweep()]
        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["pending", "paid"]
        assert caplog.messages.count("sweep.row.failed") == 1

    @pytest.mark.django_db(transaction=True)
    def test_a_lease(self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        bad, good = make_live_payout(), make_live_payout()
        abandon(provider, bad)
        provider.on_send(fake_provider.PAID)
        database.make_due(good)

        with poisoned(bad, table="payouts_payouttransition", also="to_status = 'unknown'"):
            swept = sweeping.sweep()

        assert (swept.expired, swept.callbacks) == (0, 0)
        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["processing", "paid"]

    @pytest.mark.django_db
    def test_callbacks(self, make_live_payout: MakePayout) -> None:
        """Not even as many of them as are looked at in a round."""
        bad, good = make_live_payout(), make_live_payout()
        # Nothing else is to be done about them.
        for payout in (bad, good):
            database.make_due(payout, seconds=-3600)
        for _ in range(sweeping.BATCH):
            telling.store(bad.pk, "paid")
        telling.store(good.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))

        with poisoned(bad):
            swept = [sweeping.sweep(), sweeping.sweep(), sweeping.sweep()]

        assert swept == [sweeping.Sweep(), sweeping.Sweep(callbacks=1), sweeping.Sweep()]
        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["pending", "paid"]
        assert ProviderCallback.objects.filter(applied_at__isnull=True).count() == sweeping.BATCH

    @pytest.mark.django_db
    def test_is_tried_again_after_a_while(self, idle_payout: Payout) -> None:
        telling.store(idle_payout.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))
        with poisoned(idle_payout):
            sweeping.sweep()

        at_once = sweeping.sweep()
        ProviderCallback.objects.update(tried_at=F("tried_at") - sweeping.REENQUEUE_AFTER)
        later = sweeping.sweep()

        assert (at_once, later) == (sweeping.Sweep(), sweeping.Sweep(callbacks=1))
        assert database.statuses(idle_payout)[-1] == "paid"


@pytest.mark.django_db
class TestHeld:
    """What may not go is neither rung for nor processed, and stands in nobody's way."""

    @pytest.fixture
    def held_payout(self, dead_broker: None, live_payout: Payout) -> Payout:
        database.make_due(live_payout, seconds=100)
        return live_payout

    def test_by_a_pause(self, provider: FakeProvider, held_payout: Payout, make_payout: MakePayout) -> None:
        pauses.pause(pauses.Scope(provider="fake"), actor="operator:test", reason="maintenance")
        free = make_payout()
        database.make_due(free)

        swept = sweeping.sweep()

        held_payout.refresh_from_db()
        assert swept == sweeping.Sweep(due=1, processed=1)
        assert (held_payout.status, held_payout.rung_at) == ("pending", None)
        assert database.statuses(free)[-1] == "paid"
        assert provider.calls == []

    def test_goes_when_the_pause_ends(self, provider: FakeProvider, held_payout: Payout) -> None:
        scope = pauses.Scope(provider="fake")
        pauses.pause(scope, actor="operator:test", reason="maintenance")
        sweeping.sweep()
        pauses.resume(scope, actor="operator:test")

        assert sweeping.sweep() == sweeping.Sweep(due=1, processed=1)
        assert provider.kinds == ["send"]

    def test_by_an_open_circuit(self, provider: FakeProvider, held_payout: Payout) -> None:
        open_circuit(seconds=60)

        assert sweeping.sweep() == sweeping.Sweep()
        assert provider.calls == []

    def test_goes_when_the_circuit_is_to_be_tried(self, provider: FakeProvider, held_payout: Payout) -> None:
        open_circuit(seconds=-1)

        assert sweeping.sweep() == sweeping.Sweep(due=1, processed=1)
        assert provider.kinds == ["send"]

    def test_is_asked_about_all_the_same(self, dead_broker: None, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        processing.process(live_payout.pk)
        pauses.pause(pauses.Scope(), actor="operator:test", reason="maintenance")
        open_circuit(seconds=60)
        database.make_due(live_payout)

        assert sweeping.sweep() == sweeping.Sweep(due=1, processed=1)
        assert provider.kinds == ["send", "ask"]


def open_circuit(*, seconds: float) -> None:
    """Let nothing be sent to the fake provider for so long; negative: it was so until then."""
    ProviderCircuit.objects.update_or_create(
        provider="fake",
        defaults={"failures_count": 5, "opened_at": Now(), "retry_at": Now() + timedelta(seconds=seconds)},
    )


@pytest.mark.django_db
class TestTurnedAway:
    """Those that wait for room at their provider are tried a few at a time."""

    def test_are_rung_for_in_their_order_and_a_few_at_a_time(
        self, doorbell: Doorbell, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        payouts = [make_live_payout() for _ in range(sweeping.CAPACITY_TRIES + 1)]
        for number, payout in enumerate(payouts):
            Payout.objects.filter(pk=payout.pk).update(turned_away_at=Now() - timedelta(seconds=100 - number))
        doorbell.silence()

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep()
        assert doorbell.rung() == sweeping.CAPACITY_TRIES
        waiting = Payout.objects.filter(turned_away_at__isnull=False)
        assert [payout.pk for payout in waiting] == [payouts[-1].pk]

    def test_are_processed_here_where_nobody_can_be_rung(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        payout = make_live_payout()
        Payout.objects.update(turned_away_at=Now() - timedelta(seconds=100))

        sweeping.sweep()

        payout.refresh_from_db()
        assert (payout.status, payout.turned_away_at) == ("paid", None)

    def test_whoever_follows_one_that_was_processed_here_is_processed_too(
        self, doorbell: Doorbell, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        provider.promise(concurrency_max=1)
        old, following = make_live_payout(), make_live_payout()
        database.make_due(old, seconds=REENQUEUE_SECONDS)
        Payout.objects.filter(pk=old.pk).update(rung_at=F("due_at"))

        def send(instruction: base.Instruction) -> base.Report:
            # Another worker comes for the second one while the first has the only place.
            processing.process(following.pk)
            return fake_provider.PAID

        provider.on_send(send)
        doorbell.silence()

        swept = sweeping.sweep()

        following.refresh_from_db()
        assert swept == sweeping.Sweep(due=1, rung=1, processed=1)
        assert (following.status, following.turned_away_at) == ("paid", None)
        assert provider.kinds == ["send", "send"]
        assert doorbell.rung() == 1


@pytest.mark.django_db(transaction=True)
class TestTwoSweepers:
    PAYOUTS = 20

    @pytest.fixture
    def payouts(self, provider: FakeProvider, make_live_payout: MakePayout) -> list[Payout]:
        payouts = [make_live_payout() for _ in range(self.PAYOUTS)]
        for payout in payouts:
            database.make_due(payout)
        return payouts

    def test_share_the_ringing(self, doorbell: Doorbell, payouts: list[Payout]) -> None:
        doorbell.silence()

        results = racing.run_together(sweeping.sweep, sweeping.sweep)

        assert sum(swept.rung for swept in results) == self.PAYOUTS
        assert doorbell.rung() == self.PAYOUTS

    def test_share_the_work(self, dead_broker: None, provider: FakeProvider, payouts: list[Payout]) -> None:
        results = racing.run_together(sweeping.sweep, sweeping.sweep)

        assert [sum(swept.due for swept in results), sum(swept.processed for swept in results)] == [self.PAYOUTS] * 2
        sent = sorted(call.instruction.reference for call in provider.calls)
        assert sent == sorted(str(payout.pk) for payout in payouts)
        assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}

    def test_share_the_leases_that_ran_out(
        self, doorbell: Doorbell, provider: FakeProvider, payouts: list[Payout]
    ) -> None:
        for payout in payouts:
            abandon(provider, payout)

        results = racing.run_together(sweeping.sweep, sweeping.sweep)

        assert sum(swept.rung for swept in results) == self.PAYOUTS
        assert {tuple(database.statuses(payout)) for payout in payouts} == {("pending", "processing", "unknown")}

    def test_apply_each_callback_once(self, payouts: list[Payout]) -> None:
        for payout in payouts:
            telling.store(payout.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))

        results = racing.run_together(sweeping.sweep, sweeping.sweep)

        assert sum(swept.callbacks for swept in results) == self.PAYOUTS
        assert {tuple(database.statuses(payout)) for payout in payouts} == {("pending", "processing", "paid")}
        assert {tuple(database.attempts(payout)) for payout in payouts} == {((1, "callback", "paid", ""),)}


@pytest.mark.django_db(transaction=True)
class TestLockedRow:
    """A process that was frozen in its transaction holds a row. It holds up that row alone."""

    def test_is_passed_over(self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        locked, free = make_live_payout(), make_live_payout()
        for payout in (locked, free):
            database.make_due(payout)

        swept = sweep_while_somebody_holds(locked)

        assert swept == sweeping.Sweep(due=1, processed=1)
        assert [database.statuses(payout)[-1] for payout in (locked, free)] == ["pending", "paid"]

    @pytest.mark.parametrize("what", ["lease", "callback"])
    def test_is_not_waited_for_long(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout, what: str
    ) -> None:
        locked, free = make_live_payout(), make_live_payout()
        if what == "lease":
            abandon(provider, locked)
            provider.on_send(fake_provider.PAID)
        else:
            telling.store(locked.pk, "paid")
            ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))
        database.make_due(free)
        before = database.statuses(locked)

        sweep_while_somebody_holds(locked)

        assert database.statuses(locked) == before
        assert database.statuses(free)[-1] == "paid"
        # It is done as soon as the row is free, or has been left alone for a while.
        ProviderCallback.objects.update(tried_at=None)
        sweeping.sweep()
        assert database.statuses(locked)[-1] == "paid"


def sweep_while_somebody_holds(payout: Payout) -> sweeping.Sweep:
    """Sweep with the patience that sweepers have for a lock, shortened."""
    locked, swept = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Payout.objects.select_for_update().get(pk=payout.pk)
            locked.set()
            assert swept.wait(10)

    def sweep() -> sweeping.Sweep:
        assert locked.wait(10)
        try:
            database.execute("SET lock_timeout = '50ms'")
            return sweeping.sweep()
        finally:
            swept.set()

    _, result = racing.run_together(hold, sweep)
    assert isinstance(result, sweeping.Sweep), result
    return result


@pytest.mark.django_db(transaction=True)
class TestDatabaseNotWell:
    def test_loses_no_answer_and_goes_on(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        """The connection breaks while the provider is called: what it said is written down over another one."""
        for seconds in (20, 10):
            database.make_due(make_live_payout(), seconds=seconds)

        def send(instruction: base.Instruction) -> base.Report:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                (backend,) = cursor.fetchone()
            ended = racing.run_together(lambda: database.execute("SELECT pg_terminate_backend(%s, 5000)", [backend]))
            assert ended == [None]
            return fake_provider.PAID

        provider.on_send(send, fake_provider.PAID)

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=2, processed=2)
        assert provider.kinds == ["send", "send"]
        assert sorted(Payout.objects.values_list("status", flat=True)) == ["paid", "paid"]


@pytest.mark.django_db
class TestCommand:
    def test_once_does_one_round_and_says_what_it_did(
        self, doorbell: Doorbell, missed_payout: Payout, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("sweep_payouts", "--once")

        written = capsys.readouterr()
        assert (
            "1 due: 1 rung for, 0 processed here. 0 leases ran out. 0 callbacks applied. 0 old answers erased."
            in written.err
        )
        assert written.out == ""

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "3601", "0.05"])
    def test_refuses_a_pause_that_is_none(self, seconds: str) -> None:
        with pytest.raises(CommandError, match=r"--interval-seconds takes a number from 0\.1 to 3600\."):
            call_command("sweep_payouts", f"--interval-seconds={seconds}")

    def test_refuses_words(self) -> None:
        with pytest.raises(CommandError, match="--interval-seconds"):
            call_command("sweep_payouts", "--interval-seconds=soon")

    def test_tells_that_no_sweeper_on_this_host_is_alive(self) -> None:
        heartbeats.beat("sweeper:elsewhere:1")

        with pytest.raises(CommandError, match="No sweeper on this host is at work"):
            call_command("sweep_payouts", "--is-alive")
