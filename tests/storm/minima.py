"""What must have occurred in a storm, else it is no evidence: who was not tempted cannot be praised for resisting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.storm.held import drain
from tests.storm.ledger import Ledger
from tests.storm.observed import Observed

#: Of each at least so many.
MINIMA: Final[Mapping[str, int]] = {
    "payouts acknowledged": 100,
    "late evidence": 1,
    "sent again": 1,
    "circuits opened": 1,
    "leases recovered": 1,
    "lies of the bank": 3,
    "callbacks applied": 20,
    "seconds with as many calls as the bank takes": 1,
    "acts of operators": 5,
    "changes of the bank's address": 1,
    "promotions": 1,
    "payouts retried by operators": 1,
    "payouts changed": 1,
    "payouts deleted": 1,
    "test payouts": 3,
    "payouts that gathered behind a pause": 30,
    "payouts of others meanwhile": 3,
}

_EVENTS: Final[Mapping[str, str]] = {
    "late evidence": "payout.evidence.late",
    "circuits opened": "provider.circuit.opened",
    "promotions": "failover.found",
}
_SENT_AGAIN: Final = "sent again with the same reference"
_RAN_OUT: Final = "the lease ran out"


def occurred(observed: Observed, *, logs: Path) -> dict[str, int]:
    """Count what the minima are about. Some of it is in the logs alone."""
    ledger = Ledger(observed)
    found = drain(ledger)
    peak = observed.calls_at_once_max
    return {
        **_events(logs),
        "payouts acknowledged": len(ledger.acknowledged),
        "sent again": sum(row.reason == _SENT_AGAIN for row in observed.transitions),
        "leases recovered": sum(row.reason.startswith(_RAN_OUT) for row in observed.transitions),
        "lies of the bank": len(observed.lies),
        "callbacks applied": sum(row.kind == "callback" for row in observed.attempts),
        "seconds with as many calls as the bank takes": sum(calls >= peak for calls in observed.calls_at_once.values()),
        "acts of operators": sum(row.kind == "operator" for row in observed.attempts) + len(observed.pauses),
        "payouts retried by operators": sum(row.outcome == "retried" for row in observed.attempts),
        "payouts changed": sum(len(told.changed) for told in observed.told),
        "payouts deleted": sum(payout.is_deleted for payout in observed.payouts),
        "test payouts": sum(payout.mode == "test" for payout in observed.payouts),
        "payouts that gathered behind a pause": found.gathered,
        "payouts of others meanwhile": len(found.ahead),
    }


def missing(counts: Mapping[str, int]) -> list[str]:
    """Return, in words, what did not occur often enough."""
    return [
        f"{name}: {counts.get(name, 0)}, and {least} are needed"
        for name, least in MINIMA.items()
        if counts.get(name, 0) < least
    ]


def _events(logs: Path) -> dict[str, int]:
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in sorted(logs.iterdir()) if file.is_file()]
    return {name: sum(text.count(event) for text in texts) for name, event in _EVENTS.items()}
