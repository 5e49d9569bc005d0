"""Each payout has a whole history, and its status follows from what the bank said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from payouts.states import TRANSITIONS, PayoutStatus
from tests.storm.ledger import Ledger, Violation

_S = PayoutStatus

#: What the bank or an operator must have said for it: in a storm no payout fails because it could not be sent.
EVIDENCE: Final[dict[PayoutStatus, set[str]]] = {
    _S.PAID: {"paid", "returned"},
    _S.RETURNED: {"returned"},
    _S.FAILED: {"rejected"},
}


def _has_whole_history(ledger: Ledger) -> Iterator[Violation]:
    for payout in ledger.observed.payouts:
        rows = ledger.transitions.get(payout.id, [])
        if not rows or (rows[0].from_status, rows[0].to_status) != ("", _S.PENDING):
            yield Violation("history", payout.id, "does not begin with the creation")
            continue
        for earlier, later in pairwise(rows):
            if later.from_status != earlier.to_status:
                yield Violation("history", payout.id, f"leaps from {earlier.to_status} to {later.from_status}")
            if later.to_status not in TRANSITIONS.get(_S(later.from_status), frozenset()):
                yield Violation("history", payout.id, f"goes from {later.from_status} to {later.to_status}")
        if rows[-1].to_status != payout.status:
            yield Violation("history", payout.id, f"ends with {rows[-1].to_status}, the payout is {payout.status}")


def _has_all_attempts(ledger: Ledger) -> Iterator[Violation]:
    for payout in ledger.observed.payouts:
        numbers = [attempt.number for attempt in ledger.attempts.get(payout.id, [])]
        if numbers != list(range(1, payout.attempts_count + 1)):
            yield Violation("attempts", payout.id, f"counts {payout.attempts_count}, has the numbers {numbers}")


def _has_evidence(ledger: Ledger) -> Iterator[Violation]:
    """The bank has said what is reported of money, and only what was not sent becomes pending again."""
    for payout in ledger.observed.payouts:
        outcomes = Counter(attempt.outcome for attempt in ledger.attempts.get(payout.id, []))
        needed = EVIDENCE.get(_S(payout.status))
        if needed is not None and not needed & set(outcomes):
            yield Violation("evidence", payout.id, f"is {payout.status} without any of {sorted(needed)}")
        rows = ledger.transitions.get(payout.id, [])
        became_pending = sum((row.from_status, row.to_status) == (_S.PROCESSING, _S.PENDING) for row in rows)
        if became_pending > outcomes["not_sent"]:
            yield Violation("evidence", payout.id, f"went back to pending {became_pending} times, {dict(outcomes)}")


RULES: Final = (_has_whole_history, _has_all_attempts, _has_evidence)
