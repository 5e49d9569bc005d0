"""Payouts whose provider was taken out of the settings: the clocks go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now

from payouts.engine import orphans, processing, retries, sweep
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
        database.make_due(live_payout, seconds=DAY)
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

    def test_gives_up_nothing_that_was_to_be_asked_about_lately(
        self, sent: Callable[..., Payout], leave: Callable[[], None]
    ) -> None:
        """Another process may have the provider, and the settings of this one may be wrong. Then it is asked."""
        payout = sent(fake_provider.UNKNOWN, seconds=2 * DAY)
        database.make_due(payout, seconds=DAY - 60)
        leave()

        assert orphans.give_up() == 0
        payout.refresh_from_db()
        assert payout.status == "unknown"

    def test_ends_no_question_that_was_due_lately(self, live_payout: Payout, leave: Callable[[], None]) -> None:
        """Its provider may promise to say for longer whether the money comes back."""
        database.put_into(live_payout, PayoutStatus.PAID)
        database.make_due(live_payout, seconds=DAY - 60)
        leave()

        orphans.give_up()

        live_payout.refresh_from_db()
        assert live_payout.due_at is not None

    def test_stops_at_no_row_that_fails(self, sent: Callable[..., Payout], leave: Callable[[], None]) -> None:
        payout = sent(fake_provider.UNKNOWN, seconds=DAY)
        leave()
        database.poison(payout, table="payouts_payouttransition", also="to_status = 'requires_attention'")

        assert orphans.give_up() == 0

    @pytest.mark.parametrize(
        ("status", "due_in"), [(PayoutStatus.REQUIRES_ATTENTION, pytest.approx(6 * 3600, abs=60)), ("paid", None)]
    )
    def test_keeps_questions_out_of_what_is_due(
        self, live_payout: Payout, leave: Callable[[], None], status: str, due_in: Any
    ) -> None:
        database.put_into(live_payout, PayoutStatus(status))
        database.make_due(live_payout, seconds=DAY)
        leave()

        orphans.give_up()

        live_payout.refresh_from_db()
        assert (live_payout.status, database.due_in_seconds(live_payout)) == (status, due_in)

    def test_leaves_the_payouts_of_a_provider_that_is_here(self, sent: Callable[..., Payout]) -> None:
        sent(fake_provider.UNKNOWN, seconds=2 * DAY)

        assert orphans.give_up() == 0
