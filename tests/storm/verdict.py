"""What must hold after a storm. Pure: what was observed in, every violation of the promise out.

The promise (README): one key makes at most one payout; an acknowledged payout is there and becomes final; money moves
once for it; nothing is reported failed of which money moved.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final, TypeVar

from payouts.states import TRANSITIONS, PayoutStatus
from tests.storm.clients import Acknowledged
from tests.storm.observed import UUID_LENGTH, Attempt, Observed, Payout, Record, Transfer, Transition

_S = PayoutStatus

#: Where a payout may stand when all is quiet.
SETTLED: Final = frozenset({_S.PAID, _S.RETURNED, _S.FAILED, _S.CANCELED, _S.REQUIRES_ATTENTION})
#: Money moved, by our own book.
MOVED: Final = frozenset({_S.PAID, _S.RETURNED})
#: Nobody has anything left to do. (What requires attention is asked about every 6 h.)
OVER: Final = frozenset({_S.RETURNED, _S.FAILED, _S.CANCELED})
#: What the bank says of a reference, and what we must say of the payout then.
STATUS_AT_BANK: Final = {"paid": _S.PAID, "returned": _S.RETURNED, "rejected": _S.FAILED}

#: What somebody must have said for it: `failed` because nothing could be sent takes a day, and is none here.
EVIDENCE: Final[dict[PayoutStatus, set[str]]] = {
    _S.PAID: {"paid", "returned"},
    _S.RETURNED: {"returned"},
    _S.FAILED: {"rejected"},
}

#: Codes of sends that count as not sent though the bank saw them: it turned them away at the door.
TURNED_AWAY: Final = frozenset({"rate_limited", "unauthorized"})

#: An operator can look at a few in a hundred after such a storm. Of more it is no promise.
ATTENTION_SHARE_MAX: Final = 0.03

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
    """What was observed, put in order by payout."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.acknowledged: list[Acknowledged] = [one for told in observed.told for one in told.acknowledged]
        self.canceled = {id_: by for told in observed.told for id_, by in told.canceled.items()}
        self.payouts = {payout.id: payout for payout in observed.payouts}
        self.transitions: dict[str, list[Transition]] = _grouped(observed.transitions, lambda row: row.payout_id)
        self.attempts: dict[str, list[Attempt]] = _grouped(observed.attempts, lambda row: row.payout_id)


def _grouped(rows: Iterable[Thing], key: Callable[[Thing], str]) -> dict[str, list[Thing]]:
    groups: dict[str, list[Thing]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def judge(observed: Observed) -> list[Violation]:
    """Return everything that should not be so."""
    ledger = Ledger(observed)
    return [violation for rule in RULES for violation in rule(ledger)]


def disagreements(observed: Observed) -> list[Violation]:
    """Return where our book and the bank's are not yet the same, which word of it may still mend."""
    return list(_agrees_with_the_bank(Ledger(observed)))


def lost(violations: Iterable[Violation]) -> int:
    return sum(violation.rule == LOST for violation in violations)


def paid_twice(violations: Iterable[Violation]) -> int:
    return sum(violation.rule == TWICE for violation in violations)


LOST: Final = "lost"
TWICE: Final = "paid twice"


def _keeps_what_was_acknowledged(ledger: Ledger) -> Iterator[Violation]:
    for told in ledger.acknowledged:
        payout = ledger.payouts.get(told.payout_id)
        if payout is None:
            yield Violation(LOST, told.payout_id, f"acknowledged to {told.merchant} for {told.key}, and not there")
        elif _terms(payout) != (told.merchant, told.key, Decimal(told.amount), told.currency, told.account):
            yield Violation("terms", told.payout_id, f"acknowledged as {told}, kept as {payout}")


def _terms(payout: Payout) -> tuple[str, str | None, Decimal, str, str]:
    return payout.merchant, payout.idempotency_key, payout.amount, payout.currency, payout.account


def _makes_one_payout_of_a_key(ledger: Ledger) -> Iterator[Violation]:
    by_key = _grouped(ledger.observed.payouts, lambda payout: f"{payout.merchant} {payout.idempotency_key}")
    for key, payouts in by_key.items():
        if len(payouts) > 1:
            yield Violation("one key", key, f"made the payouts {', '.join(payout.id for payout in payouts)}")
    acknowledged = {told.payout_id for told in ledger.acknowledged}
    for payout in ledger.observed.payouts:
        if payout.id not in acknowledged:
            yield Violation("unasked", payout.id, f"nobody was told of it: {payout}")
    told_twice = Counter((told.merchant, told.key) for told in ledger.acknowledged)
    for (merchant, key), times in told_twice.items():
        if times > 1:
            yield Violation("one key", f"{merchant} {key}", f"was acknowledged {times} times by the clients")


def _keeps_a_record_of_each_key(ledger: Ledger) -> Iterator[Violation]:
    expected = {(told.merchant, told.key): told.payout_id for told in ledger.acknowledged}
    expected |= {(merchant, key): id_ for id_, (merchant, key) in ledger.canceled.items()}
    records: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in ledger.observed.records:
        records[record.merchant, record.key].append(record)
    for scope in sorted({*expected, *records}):
        found = [record.resource_id for record in records.get(scope, [])]
        wanted = [expected[scope]] if scope in expected else []
        if found != wanted:
            yield Violation("idempotency record", " ".join(scope), f"should be of {wanted}, is of {found}")


def _ends(ledger: Ledger) -> Iterator[Violation]:
    for payout in ledger.observed.payouts:
        if payout.status not in SETTLED:
            yield Violation("not final", payout.id, f"is {payout.status}")
        if payout.is_leased:
            yield Violation("lease", payout.id, f"is {payout.status} and still held by somebody")
        if payout.is_due and payout.status in OVER:
            yield Violation("due", payout.id, f"is {payout.status} and still due")
        if payout.is_contradicted:
            yield Violation("contradicted", payout.id, f"is {payout.status}, which some evidence contradicts")
    attention = sum(payout.status == _S.REQUIRES_ATTENTION for payout in ledger.observed.payouts)
    if attention > ATTENTION_SHARE_MAX * len(ledger.observed.payouts):
        yield Violation("attention", "all", f"{attention} of {len(ledger.observed.payouts)} require an operator")


def _keeps_cancellations(ledger: Ledger) -> Iterator[Violation]:
    for payout_id in ledger.canceled:
        payout = ledger.payouts.get(payout_id)
        if payout is not None and payout.status != _S.CANCELED:
            yield Violation("cancellation", payout_id, f"was acknowledged as canceled and is {payout.status}")


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
    """What is reported of money has been said by the bank; to begin anew takes that nothing can have been sent."""
    for payout in ledger.observed.payouts:
        outcomes = Counter(attempt.outcome for attempt in ledger.attempts.get(payout.id, []))
        needed = EVIDENCE.get(_S(payout.status))
        if needed is not None and not needed & set(outcomes):
            yield Violation("evidence", payout.id, f"is {payout.status} without any of {sorted(needed)}")
        rows = ledger.transitions.get(payout.id, [])
        began_anew = sum((row.from_status, row.to_status) == (_S.PROCESSING, _S.PENDING) for row in rows)
        if began_anew > outcomes["not_sent"]:
            yield Violation("evidence", payout.id, f"went back to pending {began_anew} times, {dict(outcomes)}")


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
    """What the bank has got is never taken for not sent: it would be sent anew, or called off."""
    arrived = {transfer.reference: transfer.requests for transfer in ledger.observed.transfers}
    for reference, requests in {**ledger.observed.refusals, **arrived}.items():
        attempts = ledger.attempts.get(payout_of(reference), [])
        sends = [attempt for attempt in attempts if attempt.kind == "send"]
        maybe_sent = sum(send.outcome != "not_sent" or send.code in TURNED_AWAY for send in sends)
        if requests > maybe_sent:
            yield Violation("arrived", reference, f"the bank got it {requests} times, we know of {maybe_sent} at most")


def payout_of(reference: str) -> str:
    """Return the id of the payout that a reference is for, as far as it begins with one."""
    return reference[:UUID_LENGTH]


def _agrees_with_the_bank(ledger: Ledger) -> Iterator[Violation]:
    for transfer in ledger.observed.transfers:
        payout = ledger.payouts.get(transfer.reference)
        if payout is None:
            yield Violation("unknown reference", transfer.reference, f"the bank has it as {transfer.status}, we do not")
        else:
            yield from _agree(payout, transfer)
    known = {transfer.reference for transfer in ledger.observed.transfers}
    for payout in ledger.observed.payouts:
        if payout.status in MOVED and payout.id not in known:
            yield Violation("not executed", payout.id, f"is {payout.status}, and the bank does not know it")


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


def _heard_the_callbacks(ledger: Ledger) -> Iterator[Violation]:
    for callback in ledger.observed.callbacks:
        if not callback.is_applied:
            yield Violation("callback", callback.event_id, "was taken and never applied")
        elif callback.result not in {"applied", "known"}:
            yield Violation("callback", callback.event_id, f"is {callback.result}")


def _answered_as_promised(ledger: Ledger) -> Iterator[Violation]:
    for told in ledger.observed.told:
        yield from (Violation("answer", "client", what) for what in told.wrong)
        yield from (Violation("no answer", "client", f"{what} was never answered") for what in told.given_up)


def _was_a_storm(ledger: Ledger) -> Iterator[Violation]:
    """A storm in which nothing was asked or nothing went wrong proves nothing."""
    yield from (Violation("harness", "storm", what) for what in ledger.observed.harness)
    if not ledger.acknowledged:
        yield Violation("harness", "storm", "not one payout was acknowledged")


RULES: Final = (
    _keeps_what_was_acknowledged,
    _makes_one_payout_of_a_key,
    _keeps_a_record_of_each_key,
    _ends,
    _keeps_cancellations,
    _has_whole_history,
    _has_all_attempts,
    _has_evidence,
    _is_executed_once,
    _knows_what_arrived,
    _agrees_with_the_bank,
    _heard_the_callbacks,
    _answered_as_promised,
    _was_a_storm,
)
