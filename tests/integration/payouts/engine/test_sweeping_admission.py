"""Sweeps while payouts are held back or have been turned away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F
from django.db.models.functions import Now

from payouts.engine import pauses, processing
from payouts.engine import sweep as sweeping
from payouts.models import Payout, ProviderCircuit
from payouts.providers import base
from tests.support import database, fake_provider
from tests.support.doorbell import Doorbell
from tests.support.fake_provider import FakeProvider

REENQUEUE_SECONDS = sweeping.REENQUEUE_AFTER.total_seconds()

MakePayout = Callable[..., Payout]


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
