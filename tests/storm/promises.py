"""What clients were told holds: an acknowledged payout is there, once for its key, and as it was asked for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from payouts.states import PayoutStatus
from tests.storm.ledger import MOVED, Ledger, Violation, grouped
from tests.storm.observed import Payout, Record

LOST: Final = "lost"


def _keeps_what_was_acknowledged(ledger: Ledger) -> Iterator[Violation]:
    for told in ledger.acknowledged:
        payout = ledger.payouts.get(told.payout_id)
        if payout is None:
            yield Violation(LOST, told.payout_id, f"acknowledged to {told.merchant} for {told.key}, and not there")
        elif _terms(payout) != (told.merchant, told.mode, told.key, Decimal(told.amount), told.currency, told.account):
            yield Violation("terms", told.payout_id, f"acknowledged as {told}, kept as {payout}")


def _terms(payout: Payout) -> tuple[str, str, str | None, Decimal, str, str]:
    return payout.merchant, payout.mode, payout.idempotency_key, payout.amount, payout.currency, payout.account


def _makes_one_payout_of_a_key(ledger: Ledger) -> Iterator[Violation]:
    by_key = grouped(ledger.observed.payouts, lambda payout: f"{payout.merchant} {payout.idempotency_key}")
    for key, payouts in by_key.items():
        if len(payouts) > 1:
            yield Violation("one key", key, f"made the payouts {', '.join(payout.id for payout in payouts)}")
    acknowledged = {told.payout_id for told in ledger.acknowledged}
    for payout in ledger.observed.payouts:
        if payout.id not in acknowledged:
            yield Violation("unasked", payout.id, f"no client was told of it: {payout}")
    told_twice = Counter((told.merchant, told.key) for told in ledger.acknowledged)
    for (merchant, key), times in told_twice.items():
        if times > 1:
            yield Violation("one key", f"{merchant} {key}", f"was acknowledged {times} times by the clients")


def _keeps_a_record_of_each_key(ledger: Ledger) -> Iterator[Violation]:
    expected = {(told.merchant, told.key): told.payout_id for told in ledger.acknowledged}
    expected |= {(merchant, key): id_ for id_, (merchant, key) in ledger.canceled.items()}
    for told in ledger.observed.told:
        expected |= told.changed
    records: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in ledger.observed.records:
        records[record.merchant, record.key].append(record)
    for scope in sorted({*expected, *records}):
        found = [record.resource_id for record in records.get(scope, [])]
        wanted = [expected[scope]] if scope in expected else []
        if found != wanted:
            yield Violation("idempotency record", " ".join(scope), f"should be of {wanted}, is of {found}")


def _keeps_cancellations(ledger: Ledger) -> Iterator[Violation]:
    for payout_id in ledger.canceled:
        payout = ledger.payouts.get(payout_id)
        if payout is not None and payout.status != PayoutStatus.CANCELED:
            yield Violation("cancellation", payout_id, f"was acknowledged as canceled and is {payout.status}")


def _answered_as_promised(ledger: Ledger) -> Iterator[Violation]:
    for told in ledger.observed.told:
        yield from (Violation("answer", "client", what) for what in told.wrong)
        yield from (Violation("no answer", "client", f"{what} was never answered") for what in told.given_up)


def _keeps_deletions(ledger: Ledger) -> Iterator[Violation]:
    """Deleted is what clients deleted, and nothing else. Only money that moved after all brings a payout back."""
    deleted = {payout_id for told in ledger.observed.told for payout_id in told.deleted}
    for payout in ledger.observed.payouts:
        if payout.is_deleted is not (payout.id in deleted) and not (payout.id in deleted and payout.status in MOVED):
            yield Violation("deletion", payout.id, f"is_deleted is {payout.is_deleted}: {payout}")


RULES: Final = (
    _keeps_what_was_acknowledged,
    _makes_one_payout_of_a_key,
    _keeps_a_record_of_each_key,
    _keeps_cancellations,
    _keeps_deletions,
    _answered_as_promised,
)
