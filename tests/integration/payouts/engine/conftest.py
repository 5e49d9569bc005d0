"""Payouts that a sweep comes across."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payouts.models import Payout
from tests.support import database
from tests.support.doorbell import Doorbell


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
