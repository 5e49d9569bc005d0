"""When to try again. Pure: takes the attempt's number and the longest delay, returns seconds.

Full jitter (a random part of the whole delay) spreads payouts that failed together, so that they do not all hit a
provider at once when it recovers.
"""

from __future__ import annotations

import random
from typing import Final

#: Seconds. 5 s is long for a glitch.
DELAY_FIRST_SECONDS: Final = 5.0
#: 15 min bounds how late a payout is after an outage of any length. (PAYOUTS_RETRY_DELAY_MAX_SECONDS)
DELAY_MAX_SECONDS: Final = 900.0

#: A provider needs seconds or days until a payout is final. So asking starts early and soon gets rare.
ASK_FIRST_SECONDS: Final = 2.0
#: A payment that may come back is asked about for days: at most every 6 h, instead of every 15 min.
ASK_PAID_RARER: Final = 24

#: How long a provider in trouble gets no sends: long enough to help, too short to be an outage itself.
CIRCUIT_FIRST_SECONDS: Final = 10.0
CIRCUIT_MAX_SECONDS: Final = 300.0

#: A payout that could not be sent for a day fails: the merchant can then pay in another way.
NOT_SENT_GIVE_UP_SECONDS: Final = 24 * 3600.0
#: An outcome that is unknown for a day needs an operator.
UNKNOWN_GIVE_UP_SECONDS: Final = 24 * 3600.0
#: Times of a provider that this installation does not have any more: the defaults of http_bank, three days for the
#: outcome of an accepted payout and three for the return of a payment.
SUBMITTED_GIVE_UP_SECONDS: Final = 72 * 3600.0
PAID_GIVE_UP_SECONDS: Final = 72 * 3600.0

#: A payout that requires attention is asked about four times a day: often enough that the provider's word comes before
#: the operator's next shift, and rare enough that thousands of them are no load.
ATTENTION_ASK_SECONDS: Final = 6 * 3600.0


def send_delay_seconds(attempt: int, *, delay_max: float = DELAY_MAX_SECONDS, jitter: float | None = None) -> float:
    """Return how long to wait after attempt number `attempt` (from 1) that was not sent: a part of 5 s * 2^(n-1)."""
    return _doubled(DELAY_FIRST_SECONDS, attempt, delay_max) * _part(jitter)


def ask_delay_seconds(attempt: int, *, delay_max: float = DELAY_MAX_SECONDS, jitter: float | None = None) -> float:
    """Return how long to wait after attempt number `attempt` (from 1) with nothing final: a part of 2 s * 2^(n-1)."""
    return _doubled(ASK_FIRST_SECONDS, attempt, delay_max) * _part(jitter)


def circuit_delay_seconds(time: int, *, delay_max: float = CIRCUIT_MAX_SECONDS) -> float:
    """Return how long a provider gets no sends, for the nth time (from 1) in a row: 10 s * 2^(n-1)."""
    return _doubled(CIRCUIT_FIRST_SECONDS, time, min(delay_max, CIRCUIT_MAX_SECONDS))


def _doubled(first: float, number: int, delay_max: float) -> float:
    return float(min(delay_max, first * 2 ** min(number - 1, 20)))


def _part(jitter: float | None) -> float:
    return random.random() if jitter is None else jitter  # noqa: S311 - spreads load, guards nothing
