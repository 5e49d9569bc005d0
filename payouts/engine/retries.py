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
#: A twentieth of the time already waited lies between two questions, so a payout that has been with its provider for a
#: day is asked about once in 72 minutes and not once in 15: what took a day is not over in a minute.
ASK_WAITED_PART: Final = 20
#: A provider with callbacks reports by itself. Questions find only what a callback lost: a quarter of them is enough.
ASK_RARER_WITH_CALLBACKS: Final = 4
#: Questions if a payment came back. Each is twice as late as the one before, and the last is at the end of the window.
RETURN_QUESTIONS_MAX: Final = 6
RETURN_QUESTIONS_MAX_WITH_CALLBACKS: Final = 3

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

#: Sends of one reference that may have arrived. A bank that does not know a reference after so many, over hours, will
#: not know it after one more.
SENDS_MAX: Final = 20

#: A payout that requires attention is asked about four times a day: often enough that the provider's word comes before
#: the operator's next shift, and rare enough that thousands of them are no load.
ATTENTION_ASK_SECONDS: Final = 6 * 3600.0


def send_delay_seconds(attempt: int, *, delay_max: float = DELAY_MAX_SECONDS, jitter: float | None = None) -> float:
    """Return how long to wait after attempt number `attempt` (from 1) that was not sent: a part of 5 s * 2^(n-1)."""
    return _doubled(DELAY_FIRST_SECONDS, attempt, delay_max) * _part(jitter)


def ask_delay_seconds(
    attempt: int,
    *,
    waited_seconds: float = 0.0,
    has_callbacks: bool = False,
    delay_max: float = DELAY_MAX_SECONDS,
    jitter: float | None = None,
) -> float:
    """Return how long to wait after attempt number `attempt` (from 1) with nothing final.

    It is a part of 2 s * 2^(n-1), and at least a twentieth of the time that the payout has already waited. With
    callbacks all of that is four times as long.
    """
    rarer = ASK_RARER_WITH_CALLBACKS if has_callbacks else 1
    delay_seconds = _doubled(ASK_FIRST_SECONDS, attempt, delay_max) * _part(jitter)
    return rarer * max(delay_seconds, waited_seconds / ASK_WAITED_PART)


def return_delay_seconds(
    asked: int, *, waited_seconds: float, window_seconds: float, has_callbacks: bool = False
) -> float | None:
    """Return how long to wait with the next question if a payment came back, after `asked` of them; None: ask no more.

    The times since the payment are parts of the window: 1/32, 1/16, ... 1/2, 1.
    """
    questions_max = RETURN_QUESTIONS_MAX_WITH_CALLBACKS if has_callbacks else RETURN_QUESTIONS_MAX
    if asked >= questions_max or waited_seconds >= window_seconds:
        return None
    asks_at = window_seconds / float(2 ** (questions_max - 1 - asked))
    return max(asks_at - waited_seconds, waited_seconds / ASK_WAITED_PART)


def circuit_delay_seconds(time: int, *, delay_max: float = CIRCUIT_MAX_SECONDS) -> float:
    """Return how long a provider gets no sends, for the nth time (from 1) in a row: 10 s * 2^(n-1)."""
    return _doubled(CIRCUIT_FIRST_SECONDS, time, min(delay_max, CIRCUIT_MAX_SECONDS))


def _doubled(first: float, number: int, delay_max: float) -> float:
    return float(min(delay_max, first * 2 ** min(number - 1, 20)))


def _part(jitter: float | None) -> float:
    return random.random() if jitter is None else jitter  # noqa: S311 - spreads load, guards nothing
