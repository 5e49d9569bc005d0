"""What a sweep finds, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now

from payouts import services
from payouts.engine import backlog, heartbeats, processing
from payouts.engine import sweep as sweeping
from payouts.models import Payout, ProviderCallback
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, telling
from tests.support.doorbell import Doorbell
from tests.support.fake_provider import Answer, FakeProvider

NEVER_AGAIN = [PayoutStatus.FAILED, PayoutStatus.CANCELED, PayoutStatus.RETURNED, PayoutStatus.REQUIRES_ATTENTION]

REENQUEUE_SECONDS = sweeping.REENQUEUE_AFTER.total_seconds()

MakePayout = Callable[..., Payout]


@pytest.mark.django_db
class TestSweep:
    def test_rings_for_what_was_missed(self, doorbell: Doorbell, missed_payout: Payout) -> None:
        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=1, rung=1)
        assert doorbell.rung() == 1
        missed_payout.refresh_from_db()
        assert (missed_payout.status, missed_payout.version) == ("pending", 1)

    def test_rings_again_while_nobody_has_come(self, doorbell: Doorbell, missed_payout: Payout) -> None:
        swept = [sweeping.sweep(), sweeping.sweep()]

        assert swept == [sweeping.Sweep(due=1, rung=1)] * 2
        assert doorbell.rung() == 2

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

    def test_rings_a_few_times_for_many(self, doorbell: Doorbell, make_payout: MakePayout) -> None:
        """Each message wakes one worker process, which does whatever is due."""
        for _ in range(sweeping.BATCH + 1):
            database.make_due(make_payout())
        doorbell.silence()

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=sweeping.BATCH, rung=sweeping.BATCH)
        assert (doorbell.messages(), doorbell.rung()) == (4, sweeping.BATCH)
        assert swept.has_more is False

    @pytest.mark.parametrize(
        ("done", "has_more"),
        [
            (sweeping.Sweep(), False),
            (sweeping.Sweep(due=99, rung=99, processed=99, expired=99, callbacks=99), False),
            (sweeping.Sweep(due=100), False),
            (sweeping.Sweep(is_unfinished=True), True),
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
class TestExpiredLeases:
    def test_become_unknown_and_are_rung_for(
        self, doorbell: Doorbell, provider: FakeProvider, live_payout: Payout
    ) -> None:
        fake_provider.abandon(provider, live_payout)

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
        fake_provider.abandon(provider, live_payout)

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
