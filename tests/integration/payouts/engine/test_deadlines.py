"""Pending payouts that nothing sends: for how long they wait, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from payouts import errors, operators
from payouts.engine import deadlines, pauses, processing, retries, rounds, sweep
from payouts.models import Pause, Payout, ProviderCircuit
from payouts.providers import registry
from payouts.states import PayoutStatus
from tests.support import database, fake_provider
from tests.support.fake_provider import FakeProvider
from tests.support.operating import ADA

pytestmark = pytest.mark.django_db

MakePayout = Callable[..., Payout]

DAY = 24 * 3600
LIMIT = 3 * DAY
ADA_PAUSES: Any = {"actor": "operator:ada", "reason": "maintenance"}


@pytest.fixture
def broken(provider: FakeProvider) -> None:
    """The provider is in trouble, and its circuit does not close."""
    ProviderCircuit.objects.create(
        provider="fake", failures_count=9, opened_at=Now(), retry_at=Now() + timedelta(days=30)
    )


def wait(payout: Payout, *, seconds: float) -> None:
    """Let the payout have waited for so long."""
    earlier = timedelta(seconds=seconds)
    Payout.objects.filter(pk=payout.pk).update(
        created_at=F("created_at") - earlier, due_at=F("due_at") - earlier, give_up_at=F("give_up_at") - earlier
    )


def pause_before(*, begun: float, ended: float | None, **scope: Any) -> None:
    """Let an operator have paused so many seconds ago."""
    pause = pauses.pause(pauses.Scope(**scope), **ADA_PAUSES)
    end = None if ended is None else Now() - timedelta(seconds=ended)
    Pause.objects.filter(pk=pause.pk).update(created_at=Now() - timedelta(seconds=begun), ended_at=end)


def looked_at_in_seconds(payout: Payout) -> float:
    payout.refresh_from_db()
    return (payout.give_up_at - timezone.now()).total_seconds()


class TestGiveUp:
    def test_fails_what_was_not_sent_in_three_days(
        self, broken: None, provider: FakeProvider, live_payout: Payout
    ) -> None:
        wait(live_payout, seconds=LIMIT)

        swept = sweep.sweep()

        live_payout.refresh_from_db()
        assert swept.given_up == 1
        assert (live_payout.status, live_payout.failure_code) == ("failed", "not_sent_in_time")
        assert live_payout.failure_message == "It could not be sent in time, and no money moved."
        assert (live_payout.due_at, live_payout.lease_token, live_payout.first_sent_at) == (None, None, None)
        assert live_payout.completed_at is not None
        assert database.history(live_payout)[1:] == [
            ("pending", "processing", "worker", "It could not be sent in time, and no money moved."),
            ("processing", "failed", "worker", "It could not be sent in time, and no money moved."),
        ]
        assert (provider.calls, database.attempts(live_payout)) == ([], [])

    def test_waits_until_then(self, broken: None, live_payout: Payout) -> None:
        wait(live_payout, seconds=LIMIT - 60)

        assert sweep.sweep().given_up == 0
        assert database.statuses(live_payout) == ["pending"]

    def test_needs_no_provider(self, live_payout: Payout, monkeypatch: pytest.MonkeyPatch) -> None:
        """A sweeper that lacks it has the same clock as one that has it."""
        wait(live_payout, seconds=LIMIT)
        monkeypatch.delitem(registry.PROVIDERS, "fake")

        assert deadlines.give_up() == 1
        assert database.statuses(live_payout)[-1] == "failed"

    def test_counts_what_was_not_sent_as_waiting(self, provider: FakeProvider, live_payout: Payout) -> None:
        """From when it was first due: sends that did not get through begin nothing anew."""
        provider.on_send(fake_provider.UNAVAILABLE)
        wait(live_payout, seconds=LIMIT)
        processing.process(live_payout.pk)

        assert deadlines.give_up() == 1
        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.failure_code) == ("failed", "not_sent_in_time")

    def test_obeys_the_setting(self, broken: None, live_payout: Payout, settings: Any) -> None:
        settings.GIVE_UP_SECONDS = 600
        Payout.objects.update(give_up_at=Now())
        wait(live_payout, seconds=599)
        first = deadlines.give_up()

        wait(live_payout, seconds=1)

        assert (first, deadlines.give_up()) == (0, 1)

    def test_looks_once_at_a_payout_of_the_version_before(self, broken: None, live_payout: Payout) -> None:
        """It did not know of the clock."""
        Payout.objects.update(give_up_at=F("created_at"))

        deadlines.give_up()

        assert looked_at_in_seconds(live_payout) == pytest.approx(LIMIT, abs=60)

    def test_is_certain_only_if_nothing_can_have_arrived(self, provider: FakeProvider, live_payout: Payout) -> None:
        """An operator had it sent again, and it may have been sent before."""
        provider.on_send(fake_provider.UNKNOWN)
        processing.process(live_payout.pk)
        database.age(live_payout, seconds=retries.UNKNOWN_GIVE_UP_SECONDS - 7200)
        Payout.objects.filter(pk=live_payout.pk).update(status=PayoutStatus.REQUIRES_ATTENTION, due_at=None)
        operators.retry_payout(live_payout, **ADA)
        with database.unguarded("payouts_payoutattempt", "payouts_guard_attempt"):
            live_payout.attempts.update(finished_at=F("finished_at") - timedelta(seconds=LIMIT))
        Payout.objects.update(give_up_at=Now())

        assert deadlines.give_up() == 1

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.failure_code, live_payout.completed_at) == ("unknown", "", None)
        assert live_payout.due_at is not None
        assert database.history(live_payout)[-1][3] == "it was not sent again in time, and may have been sent before"

    def test_counts_from_the_operators_retry(self, broken: None, live_payout: Payout) -> None:
        wait(live_payout, seconds=LIMIT)
        deadlines.give_up()

        operators.retry_payout(live_payout, **ADA)

        assert deadlines.give_up() == 0
        assert looked_at_in_seconds(live_payout) == pytest.approx(LIMIT, abs=60)

    def test_leaves_what_an_operator_has_to_look_at(self, broken: None, live_payout: Payout) -> None:
        wait(live_payout, seconds=LIMIT)
        Payout.objects.update(contradicted_at=Now())

        assert deadlines.give_up() == 0


class TestPauses:
    @pytest.mark.parametrize(
        ("begun", "ended", "left"),
        [
            # Over, and in the middle of the time.
            (2 * DAY, DAY, DAY),
            # It began before the payout.
            (9 * DAY, 2 * DAY, DAY),
            # It goes on.
            (DAY, None, DAY),
            # It was over before.
            (9 * DAY, 4 * DAY, 0),
        ],
    )
    def test_do_not_count(
        self, broken: None, live_payout: Payout, begun: float, ended: float | None, left: float
    ) -> None:
        wait(live_payout, seconds=LIMIT)
        pause_before(begun=begun, ended=ended)

        assert deadlines.give_up() == int(left == 0)
        if left:
            assert looked_at_in_seconds(live_payout) == pytest.approx(left, abs=60)

    def test_that_overlap_count_once(self, broken: None, live_payout: Payout) -> None:
        wait(live_payout, seconds=LIMIT)
        pause_before(begun=2 * DAY, ended=DAY)
        pause_before(begun=2 * DAY, ended=DAY / 2, provider="fake")
        pause_before(begun=DAY, ended=None, merchant=live_payout.merchant)

        deadlines.give_up()

        assert looked_at_in_seconds(live_payout) == pytest.approx(2 * DAY, abs=60)

    def test_of_others_count(self, broken: None, live_payout: Payout, globex: Any) -> None:
        wait(live_payout, seconds=LIMIT)
        pause_before(begun=2 * DAY, ended=None, merchant=globex)
        pause_before(begun=2 * DAY, ended=None, provider="sandbox")

        assert deadlines.give_up() == 1


class TestManyPayouts:
    def test_are_given_up_a_batch_at_a_time(self, broken: None, make_live_payout: MakePayout) -> None:
        payout = make_live_payout()
        copies = [
            Payout(
                **{name: getattr(payout, name) for name in ("merchant_id", "mode", "amount", "currency", "provider")},
                recipient_details="Jane Doe",
            )
            for _ in range(deadlines.BATCH)
        ]
        Payout.objects.bulk_create(copies)
        Payout.objects.update(created_at=Now() - timedelta(seconds=LIMIT), give_up_at=Now())

        swept = [sweep.sweep(), sweep.sweep()]

        assert [(one.given_up, one.has_more) for one in swept] == [(deadlines.BATCH, True), (1, False)]
        assert set(Payout.objects.values_list("status", flat=True)) == {"failed"}

    def test_that_are_held_are_looked_at_once(self, broken: None, make_live_payout: MakePayout) -> None:
        for payout in (make_live_payout(), make_live_payout()):
            wait(payout, seconds=LIMIT)
        pause_before(begun=DAY, ended=None)

        deadlines.give_up()

        assert Payout.objects.filter(give_up_at__lte=Now()).count() == 0

    def test_stop_at_no_row_that_fails(self, broken: None, make_live_payout: MakePayout) -> None:
        bad, good = make_live_payout(), make_live_payout()
        for payout in (bad, good):
            wait(payout, seconds=LIMIT)
        database.poison(bad, table="payouts_payouttransition", also="to_status = 'failed'")

        assert deadlines.give_up() == 1

        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["pending", "failed"]
        assert 50 < looked_at_in_seconds(bad) <= 60


class TestExpiry:
    """The merchant's expires_at."""

    def test_fails_what_was_never_sent(self, broken: None, live_payout: Payout) -> None:
        Payout.objects.update(expires_at=Now(), give_up_at=Now())

        assert deadlines.give_up() == 1

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.failure_code) == ("failed", "not_sent_in_time")
        assert live_payout.failure_message == "It was not sent before expires_at."

    def test_keeps_it_from_being_sent_at_once(self, provider: FakeProvider, live_payout: Payout) -> None:
        """Before the sweeper comes."""
        Payout.objects.update(expires_at=Now())

        done = rounds.run()
        processing.process(live_payout.pk)

        assert (done.calls, provider.calls) == (0, [])
        assert database.statuses(live_payout) == ["pending"]

    def test_is_sent_before(self, provider: FakeProvider, live_payout: Payout) -> None:
        Payout.objects.update(expires_at=Now() + timedelta(seconds=60))

        rounds.run()

        assert database.statuses(live_payout)[-1] == "paid"

    def test_is_counted_under_a_pause(self, live_payout: Payout) -> None:
        pause_before(begun=DAY, ended=None)
        Payout.objects.update(expires_at=Now(), give_up_at=Now())

        assert deadlines.give_up() == 1

    def test_is_looked_at_in_time(self, broken: None, make_live_payout: MakePayout) -> None:
        payout = make_live_payout(expires_at=timezone.now() + timedelta(hours=1))
        first = looked_at_in_seconds(payout)
        Payout.objects.update(give_up_at=Now())

        deadlines.give_up()

        assert first == pytest.approx(3600, abs=60)
        assert looked_at_in_seconds(payout) == pytest.approx(3600, abs=60)

    def test_says_nothing_of_what_may_have_been_sent(self, provider: FakeProvider, live_payout: Payout) -> None:
        """An operator has it sent again with the same reference: that pays once."""
        provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
        processing.process(live_payout.pk)
        Payout.objects.update(status=PayoutStatus.REQUIRES_ATTENTION, due_at=None, expires_at=Now())
        operators.retry_payout(live_payout, **ADA)
        Payout.objects.update(give_up_at=Now())

        given_up = deadlines.give_up()
        rounds.run()

        assert given_up == 0
        assert database.statuses(live_payout)[-1] == "paid"

    def test_ends_the_retries_of_operators(self, broken: None, live_payout: Payout) -> None:
        """Its merchant may have paid in another way since."""
        Payout.objects.update(expires_at=Now(), give_up_at=Now())
        deadlines.give_up()

        with pytest.raises(errors.PayoutExpired), transaction.atomic():
            operators.retry_payout(live_payout, **ADA)

        assert database.statuses(live_payout)[-1] == "failed"
