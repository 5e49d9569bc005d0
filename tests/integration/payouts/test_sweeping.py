from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction

from payouts import processing, reporting, services, sweeping
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.integration import racing
from tests.integration.payouts import database, fake_provider
from tests.integration.payouts.conftest import Doorbell
from tests.integration.payouts.fake_provider import Answer, FakeProvider

NEVER_AGAIN = [PayoutStatus.FAILED, PayoutStatus.CANCELED, PayoutStatus.RETURNED, PayoutStatus.REQUIRES_ATTENTION]


@pytest.fixture
def missed_payout(doorbell: Doorbell, make_payout: Callable[..., Payout]) -> Payout:
    """Nobody heard the bell."""
    payout = make_payout()
    doorbell.silence()
    database.make_due(payout)
    return payout


@pytest.mark.django_db
class TestSweep:
    def test_rings_for_what_was_missed(self, doorbell: Doorbell, missed_payout: Payout) -> None:
        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=1, rung=1, processed=0)
        assert doorbell.rung() == 1
        missed_payout.refresh_from_db()
        assert (missed_payout.status, missed_payout.version) == ("pending", 1)

    def test_leaves_what_was_rung_for_just_now(self, doorbell: Doorbell, make_payout: Callable[..., Payout]) -> None:
        make_payout()

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=0)
        assert doorbell.rung() == 0

    def test_leaves_what_is_due_later(self, doorbell: Doorbell, missed_payout: Payout) -> None:
        database.make_due(missed_payout, seconds=-60)

        assert sweeping.sweep() == sweeping.Sweep(due=0)

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
        assert swept == sweeping.Sweep(due=0)

    def test_rings_for_a_lease_that_ran_out(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.WorkerKilled())
        with pytest.raises(fake_provider.WorkerKilled):
            processing.process(live_payout.pk)
        assert sweeping.sweep().due == 0
        database.expire_lease(live_payout)

        assert sweeping.sweep().rung == 1

    def test_rings_at_once_for_what_is_to_be_asked(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        processing.process(live_payout.pk)
        database.make_due(live_payout, seconds=0)

        assert sweeping.sweep().rung == 1

    def test_takes_the_oldest_first_and_no_more_than_a_batch(
        self, doorbell: Doorbell, make_payout: Callable[..., Payout]
    ) -> None:
        for _ in range(sweeping.BATCH + 1):
            database.make_due(make_payout())

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=sweeping.BATCH, rung=sweeping.BATCH)
        assert doorbell.rung() == sweeping.BATCH
        # The workers need the pause to get to what they were rung for.
        assert swept.has_more is False

    def test_processes_itself_when_the_bell_is_dead(self, dead_broker: None, missed_payout: Payout) -> None:
        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=1, rung=0, processed=1)
        assert database.statuses(missed_payout) == ["pending", "processing", "paid"]

    def test_asks_a_dead_bell_once_a_round(
        self, dead_broker: None, make_payout: Callable[..., Payout], caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(3):
            database.make_due(make_payout())

        assert sweeping.sweep().processed == 3
        assert caplog.messages.count("payout.ring.failed") == 1

    def test_oldest_first(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: Callable[..., Payout]
    ) -> None:
        payouts = [make_live_payout() for _ in range(3)]
        for payout, seconds in zip(payouts, (10, 30, 20), strict=True):
            database.make_due(payout, seconds=seconds)

        sweeping.sweep()

        sent = [call.instruction.reference for call in provider.calls]
        assert sent == [str(payouts[number].pk) for number in (1, 2, 0)]

    def test_leaves_alone_what_only_another_version_can_send(
        self, dead_broker: None, make_payout: Callable[..., Payout]
    ) -> None:
        """A newer one is being rolled out: claimed by this one, it would look as if it might have been sent."""
        strange, good = make_payout(), make_payout()
        Payout.objects.filter(pk=strange.pk).update(provider="coming")
        database.make_due(strange, seconds=100)
        database.make_due(good)

        swept = sweeping.sweep()
        processing.process(strange.pk)

        assert (swept.due, swept.processed) == (1, 1)
        assert [database.statuses(payout)[-1] for payout in (strange, good)] == ["pending", "paid"]
        assert not strange.attempts.exists()
        assert reporting.backlog()["due"] == 1

    def test_a_row_that_the_database_refuses_does_not_stop_it(
        self, dead_broker: None, make_payout: Callable[..., Payout], caplog: pytest.LogCaptureFixture
    ) -> None:
        poison, good = make_payout(), make_payout()
        # Undone with the test's transaction.
        check = f"payout_id <> '{poison.pk}'"
        connection.check_constraints()
        database.execute(f"ALTER TABLE payouts_payoutattempt ADD CONSTRAINT no_poison CHECK ({check})")
        database.make_due(poison, seconds=100)
        database.make_due(good)

        swept = sweeping.sweep()

        assert swept.processed == 2
        assert [database.statuses(payout)[-1] for payout in (poison, good)] == ["pending", "paid"]
        assert caplog.messages.count("payout.processing.failed") == 1


@pytest.mark.django_db(transaction=True)
class TestTwoSweepers:
    def test_each_payout_is_sent_once(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: Callable[..., Payout]
    ) -> None:
        payouts = [make_live_payout() for _ in range(10)]
        for payout in payouts:
            database.make_due(payout)

        results = racing.run_together(sweeping.sweep, sweeping.sweep)

        assert [result.processed for result in results if isinstance(result, sweeping.Sweep)] == [10, 10]
        assert sorted(call.instruction.reference for call in provider.calls) == sorted(
            str(payout.pk) for payout in payouts
        )
        assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}


@pytest.mark.django_db(transaction=True)
class TestDatabaseNotWell:
    def test_ends_the_round(self, dead_broker: None, provider: FakeProvider, live_payout: Payout) -> None:
        """What comes next would fare no better: the command tries again after its pause."""
        database.make_due(live_payout)
        locked, swept = threading.Event(), threading.Event()

        def lock() -> None:
            with transaction.atomic():
                Payout.objects.select_for_update().get()
                locked.set()
                assert swept.wait(10)

        def sweep() -> None:
            assert locked.wait(10)
            try:
                database.execute("SET lock_timeout = '50ms'")
                sweeping.sweep()
            finally:
                swept.set()

        results = racing.run_together(lock, sweep)

        assert isinstance(results[1], OperationalError)
        assert provider.calls == []


@pytest.mark.django_db
class TestCommand:
    def test_once_does_one_round_and_says_what_it_did(
        self, doorbell: Doorbell, missed_payout: Payout, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command("sweep_payouts", "--once")

        written = capsys.readouterr()
        assert "1 due: 1 rung for, 0 processed here. 0 old answers erased." in written.err
        assert written.out == ""

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "3601", "0.05"])
    def test_refuses_a_pause_that_is_none(self, seconds: str) -> None:
        with pytest.raises(CommandError, match=r"--interval-seconds takes a number from 0\.1 to 3600\."):
            call_command("sweep_payouts", f"--interval-seconds={seconds}")

    def test_refuses_words(self) -> None:
        with pytest.raises(CommandError, match="--interval-seconds"):
            call_command("sweep_payouts", "--interval-seconds=soon")
