"""What was observed, put in order by payout, and the form of what is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from payouts.states import PayoutStatus
from tests.storm.observed import UUID_LENGTH, Attempt, Observed, Payout, Refusal, Transfer, Transition
from tests.storm.told import Acknowledged

_S = PayoutStatus

#: Where a payout may stand when all is quiet.
SETTLED: Final = frozenset({_S.PAID, _S.RETURNED, _S.FAILED, _S.CANCELED, _S.REQUIRES_ATTENTION})
#: Money moved, by our own book.
MOVED: Final = frozenset({_S.PAID, _S.RETURNED})
#: No step is left. (A payout that requires attention is asked about every 6 h.)
OVER: Final = frozenset({_S.RETURNED, _S.FAILED, _S.CANCELED})

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Violation:
    rule: str
    #: The payout, or what else it is about.
    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.subject}: {self.what}"


class Ledger:
    """What was observed, in order."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.acknowledged: list[Acknowledged] = [one for told in observed.told for one in told.acknowledged]
        self.canceled = {id_: by for told in observed.told for id_, by in told.canceled.items()}
        self.payouts = {payout.id: payout for payout in observed.payouts}
        self.live = [payout for payout in observed.payouts if payout.mode == "live"]
        self.transitions: dict[str, list[Transition]] = grouped(observed.transitions, lambda row: row.payout_id)
        self.attempts: dict[str, list[Attempt]] = grouped(observed.attempts, lambda row: row.payout_id)
        self.transfers: dict[str, Transfer] = {transfer.reference: transfer for transfer in observed.transfers}
        self.refusals: dict[str, Refusal] = {refusal.reference: refusal for refusal in observed.refusals}

    def lies_about(self, payout: Payout) -> frozenset[str]:
        """Return the kinds of lies that the bank told about this payout."""
        return frozenset(lie.kind for lie in self.observed.lies if payout_of(lie.reference) == payout.id)

    def is_stranded(self, payout: Payout) -> bool:
        """Tell whether the bank has no such transfer, and the time is over in which it may be sent again.

        Such a payout is asked about for a day, and then an operator has to look.
        """
        ago = payout.first_sent_seconds_ago
        is_late = ago is not None and ago > self.observed.window_seconds
        return is_late and reference_of(payout) not in self.transfers


def grouped(rows: Iterable[Thing], key: Callable[[Thing], str]) -> dict[str, list[Thing]]:
    groups: dict[str, list[Thing]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def payout_of(reference: str) -> str:
    """Return the id of the payout that a reference is for, as far as it begins with one."""
    return reference[:UUID_LENGTH]


def number_of(reference: str) -> int:
    """Return the number of a reference: 1, unless an operator retried the payout with a new one."""
    number = reference[UUID_LENGTH + 1 :]
    return int(number) if number.isdigit() else 1


def reference_of(payout: Payout) -> str:
    """Return the payout's present reference."""
    return payout.id if payout.reference_number == 1 else f"{payout.id}-{payout.reference_number}"
