"""Each payout comes to its end, and an operator is needed for nothing but a lie of the bank or a time that is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from payouts.states import PayoutStatus
from tests.storm.ledger import OVER, SETTLED, Ledger, Violation
from tests.storm.observed import Payout

#: An operator can look at a few in a hundred after such a storm. Of more it is no promise.
ATTENTION_SHARE_MAX: Final = 0.03
#: A bank with so short a memory leaves some that may not be sent again: a lease that runs out takes half of the time.
LEFT_OVER_SHARE_MAX: Final = 0.2


def _ends(ledger: Ledger) -> Iterator[Violation]:
    for payout in ledger.observed.payouts:
        if payout.status not in SETTLED and not is_left_over(ledger, payout):
            yield Violation("not final", payout.id, f"is {payout.status}")
        if payout.is_leased:
            yield Violation("lease", payout.id, f"is {payout.status} and still held by a worker")
        if payout.is_due and payout.status in OVER:
            yield Violation("due", payout.id, f"is {payout.status} and still due")


def _needs_no_operator(ledger: Ledger) -> Iterator[Violation]:
    for payout in ledger.observed.payouts:
        is_explained = bool(ledger.lies_about(payout)) or ledger.is_stranded(payout)
        if payout.status == PayoutStatus.REQUIRES_ATTENTION and not is_explained:
            yield Violation("attention", payout.id, "requires an operator, and the bank told no lie about it")
        if payout.is_contradicted and not ledger.lies_about(payout):
            yield Violation("contradicted", payout.id, f"is {payout.status}, which some evidence contradicts")


def _leaves_little(ledger: Ledger) -> Iterator[Violation]:
    payouts = ledger.observed.payouts
    left = {
        "require an operator": (
            sum(payout.status == PayoutStatus.REQUIRES_ATTENTION for payout in payouts),
            ATTENTION_SHARE_MAX,
        ),
        "may not be sent again": (sum(is_left_over(ledger, payout) for payout in payouts), LEFT_OVER_SHARE_MAX),
    }
    for what, (count, share_max) in left.items():
        if count > share_max * len(payouts):
            yield Violation("attention", "all", f"{count} of {len(payouts)} {what}")


def is_left_over(ledger: Ledger, payout: Payout) -> bool:
    """Tell whether the payout waits for its day to be over: the bank does not have it, and may not get it again."""
    return payout.status == PayoutStatus.UNKNOWN and ledger.is_stranded(payout)


RULES: Final = (_ends, _needs_no_operator, _leaves_little)
