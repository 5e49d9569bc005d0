"""Decide what happens to a transfer and to the response. Pure.

The recipient's account decides first: with it, an integrator asks for one scenario. The active faults decide the rest;
with them, a test exposes a whole installation to every fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sandbox_bank import faults
from sandbox_bank.responses import ResponseFault

ACCEPTED: Final = "accepted"
PAID: Final = "paid"
REJECTED: Final = "rejected"
RETURNED: Final = "returned"

#: The code of a late rejection, of a return, and of a random refusal.
CLOSED: Final = "account_closed"
_MESSAGES: Final = {
    "account_closed": "The recipient's account is closed.",
    "account_not_found": "There is no such account at the recipient's bank.",
    "insufficient_funds": "The paying account has too little money.",
    "invalid_account": "The recipient's account number is malformed.",
    "limit_exceeded": "The transfer is over the limit of the paying account.",
}
_REJECTED: Final = re.compile(r"bank_rejected_([a-z][a-z0-9_]{0,40})")

_FAULTS_BY_ACCOUNT: Final = {
    "bank_unavailable": ResponseFault.RATE_LIMITED,
    "bank_answer_lost": ResponseFault.ANSWER_LOST,
    "bank_error": ResponseFault.ERROR_AFTER,
    "bank_truncated": ResponseFault.TRUNCATED,
    "bank_slow": ResponseFault.SLOW,
}
#: The first one wins if several are drawn: those that prevent the transfer, then those that reveal least.
_FAULTS_BY_SEVERITY: Final = (
    ResponseFault.RATE_LIMITED,
    ResponseFault.MALFORMED,
    ResponseFault.FORBIDDEN,
    ResponseFault.ERROR_BEFORE,
    ResponseFault.ANSWER_LOST,
    ResponseFault.ERROR_AFTER,
    ResponseFault.TRUNCATED,
    ResponseFault.SLOW,
)
_COPIES: Final = 3


@dataclass(frozen=True)
class Timing:
    """The default durations, in seconds. A fault may set others."""

    settle: float = 2.0
    returned: float = 4.0
    slow: float = 5.0


@dataclass(frozen=True)
class Refused:
    """A final refusal: no transfer is ever created for the reference."""

    code: str

    @property
    def message(self) -> str:
        return _MESSAGES.get(self.code, "The bank refused the transfer.")


@dataclass(frozen=True)
class Step:
    """A status, and the seconds after creation at which the transfer gets it."""

    after_seconds: float
    status: str
    is_final: bool
    code: str = ""

    @property
    def message(self) -> str:
        return _MESSAGES[self.code] if self.code else ""


@dataclass(frozen=True)
class Delivery:
    """The delivery of a transfer's callbacks."""

    copies: int = 1
    reversed: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Scenario:
    """All decisions about a request. They do not depend on whether the transfer exists."""

    fault: ResponseFault
    slow_seconds: float
    outcome: Refused | tuple[Step, ...]
    delivery: Delivery
    #: The bank hides a transfer that this request creates.
    is_hidden: bool = False


def decide(account: str, *, is_first: bool, draw: faults.Draw, timing: Timing) -> Scenario:
    """Return the scenario of a request. `is_first`: it is the first request for its reference."""
    own_fault = _FAULTS_BY_ACCOUNT.get(account) if is_first else None
    return Scenario(
        fault=own_fault or _random_fault(draw),
        slow_seconds=draw.durations.get("slow_seconds", timing.slow),
        outcome=_outcome_of_account(account, timing) or _random_outcome(draw, timing),
        delivery=_delivery(account, draw),
        is_hidden="hidden" in draw.triggered,
    )


def _random_fault(draw: faults.Draw) -> ResponseFault:
    return next((fault for fault in _FAULTS_BY_SEVERITY if fault.value in draw.triggered), ResponseFault.NONE)


def _outcome_of_account(account: str, timing: Timing) -> Refused | tuple[Step, ...] | None:
    if rejected := _REJECTED.fullmatch(account):
        return Refused(rejected[1])
    match account:
        case "bank_accepted":
            return _steps(settle_after=timing.settle)
        case "bank_accepted_rejected":
            return _steps(settle_after=timing.settle, is_rejected=True)
        case "bank_duplicate_callbacks" | "bank_callbacks_out_of_order":
            return _steps(settle_after=timing.settle / 2)
        case "bank_returned":
            return _steps(returned_after=timing.returned)
        case _:
            return None


def _random_outcome(draw: faults.Draw, timing: Timing) -> Refused | tuple[Step, ...]:
    if "rejected" in draw.triggered:
        return Refused(CLOSED)
    settle = draw.durations.get("settle_seconds", timing.settle)
    if "accepted_rejected" in draw.triggered:
        return _steps(settle_after=settle, is_rejected=True)
    return _steps(
        settle_after=settle if "accepted" in draw.triggered else None,
        returned_after=timing.returned if "returned" in draw.triggered else None,
    )


def _steps(
    *, settle_after: float | None = None, returned_after: float | None = None, is_rejected: bool = False
) -> tuple[Step, ...]:
    """Return the steps: accepted if settling takes time, then rejected or paid, then perhaps returned."""
    paid_after = settle_after or 0.0
    accepted = (Step(0.0, ACCEPTED, is_final=False),) if settle_after is not None else ()
    if is_rejected:
        return (*accepted, Step(paid_after, REJECTED, is_final=True, code=CLOSED))
    paid = Step(paid_after, PAID, is_final=returned_after is None)
    if returned_after is None:
        return (*accepted, paid)
    return (*accepted, paid, Step(paid_after + returned_after, RETURNED, is_final=True, code=CLOSED))


def _delivery(account: str, draw: faults.Draw) -> Delivery:
    return Delivery(
        copies=_COPIES if account == "bank_duplicate_callbacks" or "duplicate_callbacks" in draw.triggered else 1,
        reversed=account == "bank_callbacks_out_of_order" or "callbacks_out_of_order" in draw.triggered,
        lost=not draw.triggered.isdisjoint({"lost_callbacks", "hidden"}),
    )
