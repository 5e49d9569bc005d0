"""What tests of operators' acts have in common."""

from __future__ import annotations

from typing import Any

from payouts import errors
from payouts.engine import processing
from payouts.models import Payout
from tests.support import database

ADA: dict[str, Any] = {"actor": "operator:ada", "reason": "line 7 of the statement"}
UNUSABLE_REASONS = [
    ("", errors.ReasonMissing),
    (" \n\t ", errors.ReasonMissing),
    ("r" * 501, errors.ReasonUnusable),
    ("\u2800\u200b", errors.ReasonMissing),
    ("a\x00b", errors.ReasonUnusable),
    ("line 7\nand 8", errors.ReasonUnusable),
    ("a\u2028b", errors.ReasonUnusable),
    ("a\ud800", errors.ReasonUnusable),
]


def process_again(payout: Payout) -> Payout:
    """Let its time come, process it, and return it as it is now."""
    database.make_due(payout)
    processing.process(payout.pk)
    payout.refresh_from_db()
    return payout
