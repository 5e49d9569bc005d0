"""Our book and the bank's say the same: what moved, what was refused, what arrived, and how much at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from payouts.states import PayoutStatus
from tests.storm.ledger import MOVED, Ledger, Violation, number_of, payout_of, reference_of
from tests.storm.observed import Payout, Transfer

_S = PayoutStatus

TWICE: Final = "paid twice"

#: A callback that overtakes the answer to its call frees the place a moment early (payouts/engine/claims.py).
OVERTAKEN_MAX: Final = 1

#: The reason of what an operator has resolved.
RESOLVED: Final = "resolved_by_operator"

#: What the bank says of a reference, and what we must say of the payout then.
STATUS_AT_BANK: Final = {"paid": _S.PAID, "returned": _S.RETURNED, "rejected": _S.FAILED}

#: Codes of sends that count as not sent though the bank saw them: it turned them away at the door.
TURNED_AWAY: Final = frozenset({"rate_limited", "unauthorized"})


def _is_executed_once(ledger: Ledger) -> Iterator[Violation]:
    executions: Counter[str] = Counter()
    for transfer in ledger.observed.transfers:
        executions[payout_of(transfer.reference)] += transfer.executions
    for payout_id, times in executions.items():
        if times > 1:
            yield Violation(TWICE, payout_id, f"the bank moved the money {times} times")
    if executions.total() != ledger.observed.executions_count:
        yield Violation("executions", "bank", f"{ledger.observed.executions_count}, by reference {executions.total()}")


def _knows_what_arrived(ledger: Ledger) -> Iterator[Violation]:
    """What the bank has got is never taken for not sent: the payout would be sent again, or canceled."""
    arrived = {refusal.reference: refusal.requests for refusal in ledger.observed.refusals}
    arrived |= {transfer.reference: transfer.requests for transfer in ledger.observed.transfers}
    for reference, requests in arrived.items():
        maybe_sent = sum(
            attempt.kind == "send"
            and attempt.reference_number == number_of(reference)
            and (attempt.outcome != "not_sent" or attempt.code in TURNED_AWAY)
            for attempt in ledger.attempts.get(payout_of(reference), [])
        )
        if requests > maybe_sent:
            yield Violation("arrived", reference, f"the bank got it {requests} times, we know of {maybe_sent} at most")


def agrees(ledger: Ledger) -> Iterator[Violation]:
    """Compare each transfer with its payout, and each payment of ours with the bank's."""
    for transfer in ledger.observed.transfers:
        payout = ledger.payouts.get(payout_of(transfer.reference))
        if payout is None:
            yield Violation("unknown reference", transfer.reference, f"the bank has it as {transfer.status}, we do not")
        elif number_of(transfer.reference) < payout.reference_number:
            yield from _was_given_up(transfer)
        elif transfer.reference != reference_of(payout):
            yield Violation("unknown reference", transfer.reference, f"the payout has {reference_of(payout)}")
        else:
            yield from _agree(payout, transfer)
    for payout in ledger.live:
        if payout.status in MOVED and reference_of(payout) not in ledger.transfers:
            yield Violation("not executed", payout.id, f"is {payout.status}, and the bank does not know it")


def _was_given_up(transfer: Transfer) -> Iterator[Violation]:
    """A payout gets a new reference only after the bank has refused or rejected the one before."""
    if transfer.status != "rejected":
        yield Violation("not reported", transfer.reference, f"is {transfer.status} at the bank, and was given up")


def _agree(payout: Payout, transfer: Transfer) -> Iterator[Violation]:
    if (payout.amount, payout.currency) != (transfer.amount, transfer.currency):
        yield Violation("terms", payout.id, f"the bank has it as {transfer.amount} {transfer.currency}: {payout}")
    has_moved = transfer.executions > 0
    if has_moved and payout.status not in MOVED:
        yield Violation("not reported", payout.id, f"is {payout.status}, and the bank moved the money")
    elif payout.status in MOVED and not has_moved:
        yield Violation("not executed", payout.id, f"is {payout.status}, and the bank moved no money")
    elif STATUS_AT_BANK.get(transfer.status) != payout.status:
        yield Violation("disagreement", payout.id, f"is {payout.status}, the bank has it as {transfer.status}")


def _failed_as_refused(ledger: Ledger) -> Iterator[Violation]:
    """Failed is what the bank refused or rejected, for its reason, and nothing else. Operators may know more."""
    for payout in ledger.live:
        reference = reference_of(payout)
        refusal, transfer = ledger.refusals.get(reference), ledger.transfers.get(reference)
        rejected = transfer.code if transfer is not None and transfer.status == "rejected" else None
        code = refusal.code if refusal is not None else rejected
        if payout.status == _S.FAILED and payout.failure_code not in {code, RESOLVED}:
            yield Violation("not refused", payout.id, f"failed with {payout.failure_code}, the bank says {code}")
        elif refusal is not None and payout.status != _S.FAILED and not ledger.is_stranded(payout):
            yield Violation("refused", payout.id, f"is {payout.status}, and the bank refused it: {refusal.code}")


def _calls_no_more_at_once(ledger: Ledger) -> Iterator[Violation]:
    limit = ledger.observed.calls_at_once_max
    for second, calls in ledger.observed.calls_at_once.items():
        if calls > limit + OVERTAKEN_MAX:
            yield Violation("calls at once", str(second), f"the bank served {calls}, and takes {limit}")


RULES: Final = (
    _is_executed_once,
    _knows_what_arrived,
    agrees,
    _failed_as_refused,
    _calls_no_more_at_once,
)
