"""Payouts whose provider was taken out of the settings: the clocks go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from payouts.engine import orphans, pauses, processing, retries, sweep
from payouts.models import Payout
from payouts.providers import registry
from payouts.states import PayoutStatus
from tests.support import database, fake_provider
from tests.support.fake_provider import Answer, FakeProvider

pytestmark = pytest.mark.django_db

DAY = 24 * 3600.0


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take the fake provider out of the settings."""
    return lambda: monkeypatch.delitem(registry.PROVIDERS, "fake")


@pytest.fixture
def sent(provider: FakeProvider, live_payout: Payout) -> Callable[..., Payout]:
    """Send the payout so many seconds ago, with this answer."""

    def send(answer: Answer, *, seconds: float) -> Payout:
        provider.on_send(answer)
        processing.process(live_payout.pk)
        database.age(live_payout, seconds=seconds)
        with database.unguarded("payouts_payouttransition", "payouts_guard_transition"):
            live_payout.transitions.update(created_at=Now() - timedelta(seconds=seconds))
        database.make_due(live_payout)
        return live_payout

    return send


class TestGiveUp:
    @pytest.mark.parametrize(
        ("answer", "seconds", "status"),
        [
            (fake_provider.UNKNOWN, DAY - 60, "unknown"),
            (fake_provider.UNKNOWN, DAY, "requires_attention"),
            (fake_provider.ACCEPTED, retries.SUBMITTED_GIVE_UP_SECONDS - 60, "submitted"),
            (fake_provider.ACCEPTED, retries.SUBMITTED_GIVE_UP_SECONDS, "requires_attention"),
        ],
    )
    def test_calls_an_operator_when_the_time_is_over(
        self, sent: Callable[..., Payout], leave: Callable[[], None], answer: Answer, seconds: float, status: str
    ) -> None:
        payout = sent(answer, seconds=seconds)
        leave()

        sweep.sweep()

        payout.refresh_from_db()
        assert payout.status == status
        if status == "requires_attention":
            assert database.due_in_seconds(payout) == pytest.approx(6 * 3600, abs=60)
            assert database.history(payout)[-1][2:] == (
                "worker",
                "the provider is gone and did not say in time how it ended",
            )

    @pytest.mark.parametrize(("age", "status"), [(DAY - 60, "pending"), (DAY + 60, "failed")])
    def test_fails_what_was_never_sent(
        self, live_payout: Payout, leave: Callable[[], None], age: float, status: str
    ) -> None:
        Payout.objects.filter(pk=live_payout.pk).update(created_at=Now() - timedelta(seconds=age))
        leave()

        given_up = orphans.give_up()

        live_payout.refresh_from_db()
        assert (given_up, live_payout.status) == (int(status == "failed"), status)
        assert live_payout.failure_code == ("provider_unavailable" if status == "failed" else "")

    def test_is_never_certain_of_what_may_have_been_sent(
        self, sent: Callable[..., Payout], leave: Callable[[], None]
    ) -> None:
        payout = sent(fake_provider.UNKNOWN, seconds=DAY - 600)
        Payout.objects.filter(pk=payout.pk).update(status=PayoutStatus.PROCESSING)
        Payout.objects.filter(pk=payout.pk).update(
            status=PayoutStatus.PENDING, created_at=Now() - timedelta(seconds=DAY + 60)
        )
        leave()

        orphans.give_up()

        payout.refresh_from_db()
        assert payout.status == "unknown"

    def test_leaves_what_an_operator_has_paused(self, live_payout: Payout, leave: Callable[[], None]) -> None:
        Payout.objects.filter(pk=live_payout.pk).update(created_at=Now() - timedelta(days=2))
        pauses.pause(pauses.Scope(), actor="operator:ada", reason="maintenance")
        leave()

        assert orphans.give_up() == 0

    @pytest.mark.parametrize(
        ("status", "due_in"), [(PayoutStatus.REQUIRES_ATTENTION, pytest.approx(6 * 3600, abs=60)), ("paid", None)]
    )
    def test_keeps_questions_out_of_what_is_due(
        self, live_payout: Payout, leave: Callable[[], None], status: str, due_in: Any
    ) -> None:
        database.put_into(live_payout, PayoutStatus(status))
        database.make_due(live_payout)
        leave()

        orphans.give_up()

        live_payout.refresh_from_db()
        assert (live_payout.status, database.due_in_seconds(live_payout)) == (status, due_in)

    def test_leaves_the_payouts_of_a_provider_that_is_here(self, sent: Callable[..., Payout]) -> None:
        sent(fake_provider.UNKNOWN, seconds=2 * DAY)

        assert orphans.give_up() == 0
