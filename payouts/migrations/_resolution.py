"""The guard of payouts as migration 0016 leaves it. (No migration: Django passes by what begins with _.)

An operator may record that a failed or canceled payout was paid.
"""

from __future__ import annotations

from typing import Final

from payouts.migrations import _completion

_OF_0012: Final = "'failed>pending'"

PAYOUT: Final = _completion.PAYOUT.replace(_OF_0012, f"{_OF_0012}, 'failed>paid', 'canceled>paid'")
