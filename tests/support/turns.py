"""A payout's next turn, without waiting for it."""

from __future__ import annotations

import pytest

from payouts.engine import processing
from payouts.models import Payout
from tests.support import database


def process_again(payout: Payout) -> Payout:
    """Let its time come, process it, and return it as it is now."""
    database.make_due(payout)
    processing.process(payout.pk)
    payout.refresh_from_db()
    return payout


def assert_asked_in_six_hours(payout: Payout) -> None:
    due_in = database.due_in_seconds(payout)
    assert due_in == pytest.approx(6 * 3600, abs=60)
