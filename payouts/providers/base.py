"""What a provider is: something outside that moves money. No Django here, and no database.

A provider is asked to `send`, and later to tell (`ask`) what became of it. It returns a Report, or raises one of three
errors, which differ in what is known about the money:

* Rejected: the provider documents that it refused and that nothing was created. No money moved. A provider that does
  not say so of the reference as a whole leaves open what became of earlier sends (`is_for_good`).
* Unavailable: the request cannot have reached the provider. Nothing was sent; it may be tried again.
* OutcomeUnknown: everything else. Money may have moved, so the payout is never sent again before we know.

Anything that a provider lets through that is none of these is treated as OutcomeUnknown.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from payouts.recipient_details import RecipientDetails


class ReportKind(enum.Enum):
    #: Money moved.
    PAID = "paid"
    #: The provider took it; it is not final yet.
    ACCEPTED = "accepted"
    #: It ended without money having moved, and never will move any: said of the reference, so of each send with it.
    REJECTED = "rejected"
    #: Money moved and came back.
    RETURNED = "returned"
    #: The provider knows nothing of this reference. No proof that it never will.
    NOT_FOUND = "not_found"


@dataclass(frozen=True)
class Instruction:
    """What the provider is told. The reference is the same in each attempt for a payout, so that it is paid once."""

    reference: str
    amount: Decimal
    currency: str
    recipient_details: RecipientDetails
    #: Number of this attempt, from 1.
    attempt: int
    #: Seconds since the first attempt to send; 0 in it.
    age_seconds: float


@dataclass(frozen=True)
class Report:
    """A provider's normalised statement about a payout."""

    kind: ReportKind
    #: The provider's own id for it, where it gave one.
    provider_reference: str = ""
    code: str = ""
    message: str = ""
    #: Nothing will follow: a payment that cannot come back any more need not be asked about.
    is_final: bool = False


@dataclass(frozen=True)
class Capabilities:
    """What may be relied on."""

    #: Seconds for which a second send with the same reference does not pay twice; 0: never send again.
    idempotency_window_seconds: float
    #: Seconds after which something accepted should be final; later an operator has to look.
    settle_time_seconds: float
    #: Seconds after a payment in which it is worth asking whether it came back.
    return_window_seconds: float
    #: How many calls may be under way at once, from all processes together; None: as many as there are workers.
    concurrency_max: int | None = None
    #: Failures of one payout tell something about all of them, so that a few in a row stop the sending for a while.
    fails_as_a_whole: bool = True
    #: Fields of the recipient without which nothing can be sent; none: a text will do.
    recipient_fields_required: tuple[str, ...] = ()

    @property
    def is_idempotent_by_reference(self) -> bool:
        return self.idempotency_window_seconds > 0


class ProviderError(Exception):
    """Base of the three kinds."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code


class Rejected(ProviderError):
    """Refused, documented to have created nothing."""

    def __init__(self, code: str, message: str = "", *, is_for_good: bool = False) -> None:
        """`is_for_good`: the provider documents that it remembers the refusal, so that nothing with this reference is
        executed any more, not even a send from before that is still on its way.
        """
        super().__init__(code, message)
        self.is_for_good = is_for_good


class Unavailable(ProviderError):
    """Not sent: the request cannot have reached the provider."""


class OutcomeUnknown(ProviderError):
    """It may have been executed."""

    def __init__(self, code: str, message: str = "", *, is_about_payout: bool = False) -> None:
        """`is_about_payout`: the provider answered, and what it said is about this payout alone. Others fare no worse
        for it, so it counts for nothing where the provider's own state is judged.
        """
        super().__init__(code, message)
        self.is_about_payout = is_about_payout


class CallbackRefused(Exception):
    """It is not certain that the provider sent this callback, or that it did so just now."""


class CallbackUnreadable(Exception):
    """The provider sent it, and it says nothing that we understand. The message says what is wrong with it."""


@dataclass(frozen=True)
class CallbackReport:
    """What a callback says, and about which reference."""

    reference: str
    report: Report
    #: What the provider says was sent, to be compared with what we meant.
    amount: Decimal
    currency: str


class Provider(Protocol):
    name: str
    capabilities: Capabilities

    def send(self, instruction: Instruction) -> Report:
        """Have the money moved; idempotent by reference within the window. Raises ProviderError."""

    def ask(self, instruction: Instruction) -> Report:
        """Tell what became of the reference. Moves nothing. Raises ProviderError."""

    def authenticate_callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the provider's id of the event, the same each time it is told. Raises CallbackRefused.

        The names of the headers are lower-case.
        """

    def parse_callback(self, body: bytes) -> CallbackReport:
        """Read a callback that was authentic. Raises CallbackUnreadable."""
