"""Payouts that an operator has something to do with."""

from __future__ import annotations

import pytest

from payouts.engine import retries
from payouts.models import Payout
from tests.support import database, fake_provider, telling
from tests.support.fake_provider import FakeProvider
from tests.support.operating import process_again


@pytest.fixture
def refused_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """Its provider refused to send it."""
    provider.on_send(fake_provider.REJECTED, fake_provider.PAID)
    return process_again(live_payout)


@pytest.fixture
def unreached_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """Nobody got through to its provider for a day."""
    provider.on_send(fake_provider.UNAVAILABLE)
    process_again(live_payout)
    database.age(live_payout, seconds=retries.NOT_SENT_GIVE_UP_SECONDS)
    return process_again(live_payout)


@pytest.fixture
def stuck_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """It was sent, and its provider has not said in time what became of it. It remembers references for two days."""
    provider.promise(idempotency_window_seconds=48 * 3600.0)
    provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
    provider.on_ask(fake_provider.UNKNOWN)
    process_again(live_payout)
    database.age(live_payout, seconds=retries.UNKNOWN_GIVE_UP_SECONDS)
    return process_again(live_payout)


@pytest.fixture
def contradicted_payout(refused_payout: Payout) -> Payout:
    telling.tell(refused_payout.pk, "paid")
    refused_payout.refresh_from_db()
    return refused_payout
