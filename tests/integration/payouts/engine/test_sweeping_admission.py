"""Sweeps while payouts are held back or have been turned away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from payouts.engine import pauses, processing
from payouts.engine import sweep as sweeping
from payouts.models import Payout, ProviderCircuit
from tests.support import database, fake_provider
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
        assert held_payout.status == "pending"
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
