"""When to try again. Pure: the attempt's number in, seconds out.

Full jitter (a random part of the whole delay) spreads payouts that failed together, so that a provider that comes
back is not met by all of them at once.
"""

from __future__ import annotations

import random
from typing import Final

#: Seconds. 5 s is long for a glitch; 15 min bounds how late a payout is after an outage of any length.
DELAY_FIRST_SECONDS: Final = 5.0
DELAY_MAX_SECONDS: Final = 900.0

#: A provider answers "not final yet" in seconds or in days; asking starts early and soon gets rare.
ASK_FIRST_SECONDS: Final = 2.0

#: A payout that could not be sent for a day fails: its recipient is better served by another way.
NOT_SENT_GIVE_UP_SECONDS: Final = 24 * 3600.0
#: An outcome that stayed unknown for a day is for an operator.
UNKNOWN_GIVE_UP_SECONDS: Final = 24 * 3600.0


def send_delay_seconds(attempt: int, *, jitter: float | None = None) -> float:
    """Return how long to wait after attempt number `attempt` (from 1) that was not sent: a part of 5 s * 2^n."""
    return _delay(DELAY_FIRST_SECONDS, attempt, jitter)


def ask_delay_seconds(attempt: int, *, jitter: float | None = None) -> float:
    """Return how long to wait after attempt number `attempt` (from 1) that told nothing final: a part of 2 s * 2^n."""
    return _delay(ASK_FIRST_SECONDS, attempt, jitter)


def _delay(first: float, attempt: int, jitter: float | None) -> float:
    whole: float = min(DELAY_MAX_SECONDS, first * 2 ** min(attempt - 1, 20))
    return whole * (random.random() if jitter is None else jitter)  # noqa: S311 - spreads load, guards nothing
