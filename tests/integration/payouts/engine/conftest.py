"""Payouts that a sweep comes across, payouts that are asked about, and a provider in trouble."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payouts.engine import circuits
from payouts.models import Payout, ProviderCircuit
from tests.support import circuit, database, fake_provider
from tests.support.doorbell import Doorbell
from tests.support.fake_provider import FakeProvider
from tests.support.turns import process_again


@pytest.fixture
def missed_payout(doorbell: Doorbell, make_payout: Callable[..., Payout]) -> Payout:
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


@pytest.fixture
def unknown_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
    return process_again(live_payout)


@pytest.fixture
def submitted_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    provider.on_send(fake_provider.ACCEPTED)
    return process_again(live_payout)


@pytest.fixture
def paid_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """Paid by a provider from which money may come back for an hour."""
    provider.promise(return_window_seconds=3600)
    return process_again(live_payout)


@pytest.fixture
def open_circuit(provider: FakeProvider, make_live_payout: Callable[..., Payout]) -> ProviderCircuit:
    """The fake provider has just failed five times."""
    circuit.fail(provider, make_live_payout, circuits.FAILURES_MAX, fake_provider.UNAVAILABLE)
    return ProviderCircuit.objects.get()
