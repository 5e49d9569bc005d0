"""Each callback that the bank could deliver was stored, and applied for what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from tests.storm.ledger import Ledger, Violation, number_of, payout_of


def _stores_what_was_taken(ledger: Ledger) -> Iterator[Violation]:
    """An answer of 2xx promises the bank that the callback is kept: it is not sent again."""
    stored = {callback.event_id for callback in ledger.observed.callbacks}
    for notice in ledger.observed.notices:
        if notice.is_taken and notice.event_id not in stored:
            yield Violation("callback", notice.event_id, f"was taken and is not there: {notice}")


def _applies_what_is_stored(ledger: Ledger) -> Iterator[Violation]:
    for callback in ledger.observed.callbacks:
        if not callback.is_applied:
            yield Violation("callback", callback.event_id, "was taken and never applied")
        elif callback.result not in {"applied", "known"}:
            yield Violation("callback", callback.event_id, f"is {callback.result}")


def _records_what_is_applied(ledger: Ledger) -> Iterator[Violation]:
    """Each callback has one attempt of its payout, with the outcome that the callback names."""
    notices = {notice.event_id: notice for notice in ledger.observed.notices}
    said = Counter(
        (payout_of(notice.reference), number_of(notice.reference), notice.status)
        for callback in ledger.observed.callbacks
        if (notice := notices.get(callback.event_id)) is not None and payout_of(notice.reference) in ledger.payouts
    )
    recorded = Counter(
        (attempt.payout_id, attempt.reference_number, attempt.outcome)
        for attempt in ledger.observed.attempts
        if attempt.kind == "callback"
    )
    for key in sorted({*said, *recorded}):
        if said[key] != recorded[key]:
            yield Violation("callback", key[0], f"{said[key]} say {key[2]}, and {recorded[key]} are recorded")


RULES: Final = (_stores_what_was_taken, _applies_what_is_stored, _records_what_is_applied)
