"""What becomes of a transfer and how a request is answered. Pure.

The recipient's account comes first: it is for an integrator who wants to see one thing. What it leaves open is decided
by the faults in force, which are for tests that let a whole installation run into everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sandbox_bank import faults
from sandbox_bank.responses import Manner

ACCEPTED: Final = "accepted"
PAID: Final = "paid"
REJECTED: Final = "rejected"
RETURNED: Final = "returned"

#: The code of what is rejected after it was accepted, of what comes back, and of what chance refuses.
CLOSED: Final = "account_closed"
_MESSAGES: Final = {
    "account_closed": "The recipient's account is closed.",
    "account_not_found": "There is no such account at the recipient's bank.",
    "insufficient_funds": "The paying account has too little money.",
    "invalid_account": "The recipient's account number is malformed.",
    "limit_exceeded": "The transfer is over the limit of the paying account.",
}
_REJECTED: Final = re.compile(r"bank_rejected_([a-z][a-z0-9_]{0,40})")

_MANNERS: Final = {
    "bank_unavailable": Manner.RATE_LIMITED,
    "bank_answer_lost": Manner.ANSWER_LOST,
    "bank_error": Manner.ERROR_AFTER,
    "bank_truncated": Manner.TRUNCATED,
    "bank_slow": Manner.SLOW,
}
#: What is worse wins when chance strikes twice: first what does nothing, then what tells least.
_MANNERS_BY_CHANCE: Final = (
    Manner.RATE_LIMITED,
    Manner.ERROR_BEFORE,
    Manner.ANSWER_LOST,
    Manner.ERROR_AFTER,
    Manner.TRUNCATED,
    Manner.SLOW,
)
_COPIES: Final = 3


@dataclass(frozen=True)
class Timing:
    """How long things take unless a fault says otherwise, in seconds."""

    settle: float = 2.0
    returned: float = 4.0
    slow: float = 5.0


@dataclass(frozen=True)
class Refused:
    """Nothing is created for the reference, now or ever."""

    code: str

    @property
    def message(self) -> str:
        return _MESSAGES.get(self.code, "The bank refused the transfer.")


@dataclass(frozen=True)
class Step:
    """A status that a transfer gets so many seconds after it was created."""

    after_seconds: float
    status: str
    is_final: bool
    code: str = ""

    @property
    def message(self) -> str:
        return _MESSAGES[self.code] if self.code else ""


@dataclass(frozen=True)
class Telling:
    """How the callbacks of a transfer are delivered."""

    copies: int = 1
    reversed: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Conduct:
    """Everything that the bank decides about a request, before it looks whether the transfer is there."""

    manner: Manner
    slow_seconds: float
    outcome: Refused | tuple[Step, ...]
    telling: Telling


def decide(account: str, *, is_first: bool, draw: faults.Draw, timing: Timing) -> Conduct:
    """Return the conduct. `is_first`: no request for this reference was here before."""
    own_manner = _MANNERS.get(account) if is_first else None
    return Conduct(
        manner=own_manner or _manner_by_chance(draw),
        slow_seconds=draw.durations.get("slow_seconds", timing.slow),
        outcome=_outcome_of_account(account, timing) or _outcome_by_chance(draw, timing),
        telling=_telling(account, draw),
    )


def _manner_by_chance(draw: faults.Draw) -> Manner:
    return next((manner for manner in _MANNERS_BY_CHANCE if manner.value in draw.struck), Manner.WELL)


def _outcome_of_account(account: str, timing: Timing) -> Refused | tuple[Step, ...] | None:
    if rejected := _REJECTED.fullmatch(account):
        return Refused(rejected[1])
    match account:
        case "bank_accepted":
            return _course(settle_after=timing.settle)
        case "bank_accepted_rejected":
            return _course(settle_after=timing.settle, is_rejected=True)
        case "bank_duplicate_callbacks" | "bank_callbacks_out_of_order":
            return _course(settle_after=timing.settle / 2)
        case "bank_returned":
            return _course(returned_after=timing.returned)
        case _:
            return None


def _outcome_by_chance(draw: faults.Draw, timing: Timing) -> Refused | tuple[Step, ...]:
    if "rejected" in draw.struck:
        return Refused(CLOSED)
    settle = draw.durations.get("settle_seconds", timing.settle)
    if "accepted_rejected" in draw.struck:
        return _course(settle_after=settle, is_rejected=True)
    return _course(
        settle_after=settle if "accepted" in draw.struck else None,
        returned_after=timing.returned if "returned" in draw.struck else None,
    )


def _course(
    *, settle_after: float | None = None, returned_after: float | None = None, is_rejected: bool = False
) -> tuple[Step, ...]:
    """Accepted first when it takes time to settle; then rejected or paid; what was paid may be returned."""
    paid_after = settle_after or 0.0
    accepted = (Step(0.0, ACCEPTED, is_final=False),) if settle_after is not None else ()
    if is_rejected:
        return (*accepted, Step(paid_after, REJECTED, is_final=True, code=CLOSED))
    paid = Step(paid_after, PAID, is_final=returned_after is None)
    if returned_after is None:
        return (*accepted, paid)
    return (*accepted, paid, Step(paid_after + returned_after, RETURNED, is_final=True, code=CLOSED))


def _telling(account: str, draw: faults.Draw) -> Telling:
    return Telling(
        copies=_COPIES if account == "bank_duplicate_callbacks" or "duplicate_callbacks" in draw.struck else 1,
        reversed=account == "bank_callbacks_out_of_order" or "callbacks_out_of_order" in draw.struck,
        lost="lost_callbacks" in draw.struck,
    )
