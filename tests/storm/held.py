"""Pauses hold what they cover, and what they held goes afterwards in turn with what other merchants send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.storm import limits, orders
from tests.storm.ledger import Ledger, Violation, grouped
from tests.storm.observed import Attempt, Pause, Payout

#: A claim that began before the pause may still end: the pause waits for it.
_CLAIM_SECONDS: Final = 1.0
#: As many sends of the whale may come before one of another merchant, beside those that came before it in its own lane:
#: the calls that the bank takes at once, for a claim of each of the processes (tests/storm/stage.py).
AHEAD_MAX: Final = 4 * limits.CALLS_AT_ONCE_MAX


@dataclass(frozen=True)
class Drain:
    """What was sent while the payouts drained that had gathered behind a pause."""

    gathered: int
    #: For each payout of others that came meanwhile: the whale's sends before its own, less those of its own lane. In a
    #: queue without lanes everything that had gathered is sent before.
    ahead: list[int]


def drain(ledger: Ledger) -> Drain:
    """Return what followed the end of the whale's pause."""
    resumed_at = max((pause.ended_at for pause in ledger.observed.pauses if pause.merchant == orders.WHALE), default=0)
    sends = {payout.id: _sends(ledger, payout) for payout in ledger.live}
    sent = [payout for payout in ledger.live if sends[payout.id]]
    gathered = [
        sends[payout.id][0]
        for payout in sent
        if payout.merchant == orders.WHALE and payout.created_at < resumed_at <= sends[payout.id][0]
    ]
    drained_at = max(gathered, default=resumed_at)
    lanes = {
        merchant: [at for payout in payouts for at in sends[payout.id]]
        for merchant, payouts in grouped(sent, lambda payout: payout.merchant).items()
    }
    ahead = [
        _count(lanes.get(orders.WHALE, []), payout, sends) - _count(lanes[payout.merchant], payout, sends)
        for payout in sent
        if payout.merchant != orders.WHALE and resumed_at <= payout.created_at <= drained_at
    ]
    return Drain(len(gathered), ahead)


def _sends(ledger: Ledger, payout: Payout) -> list[float]:
    return sorted(attempt.started_at for attempt in ledger.attempts.get(payout.id, []) if attempt.kind == "send")


def _count(lane: list[float], payout: Payout, sends: Mapping[str, list[float]]) -> int:
    """Count the sends of a lane while the payout waited for its first."""
    return sum(payout.created_at < at < sends[payout.id][0] for at in lane)


def _is_fair(ledger: Ledger) -> Iterator[Violation]:
    found = drain(ledger)
    if found.ahead and median(found.ahead) > AHEAD_MAX:
        yield Violation(
            "fairness",
            "others",
            f"of {found.gathered} payouts that had gathered, {median(found.ahead):g} went before another merchant's",
        )


def _holds(ledger: Ledger) -> Iterator[Violation]:
    for payout_id, attempts in ledger.attempts.items():
        payout = ledger.payouts.get(payout_id)
        for pause in ledger.observed.pauses if payout is not None else ():
            for attempt in attempts:
                if payout is not None and _covers(pause, payout) and _is_within(attempt, pause):
                    yield Violation("pause", payout_id, f"attempt {attempt.number} was sent in spite of {pause}")


def _covers(pause: Pause, payout: Payout) -> bool:
    if pause.merchant:
        return pause.merchant == payout.merchant
    return pause.provider in ("", "http_bank" if payout.mode == "live" else "sandbox")


def _is_within(attempt: Attempt, pause: Pause) -> bool:
    return attempt.kind == "send" and pause.began_at + _CLAIM_SECONDS < attempt.started_at < pause.ended_at


RULES: Final = (_holds, _is_fair)
