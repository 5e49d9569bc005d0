"""What a provider is: something outside that moves money. No Django here, and no database.

A provider is asked to `send`, and later to tell (`ask`) what became of it. It returns a Report, or raises one of three
errors, which differ in what is known about the money:

* Rejected: the provider documents that it refused and that nothing was created. No money moved. Never raised for a
  reference that the provider has seen before: that is an OutcomeUnknown, to be asked about.
* Unavailable: the request cannot have reached the provider. Nothing was sent; it may be tried again.
* OutcomeUnknown: everything else. Money may have moved, so the payout is never sent again before we know.

Anything that a provider lets through that is none of these is treated as OutcomeUnknown.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


class ReportKind(enum.Enum):
    #: Money moved.
    PAID = "paid"
    #: The provider took it; it is not final yet.
    ACCEPTED = "accepted"
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
    recipient_details: dict[str, str]
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


class ProviderError(Exception):
    """Base of the three kinds."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message or code


class Rejected(ProviderError):
    """Refused, documented to have created nothing."""


class Unavailable(ProviderError):
    """Not sent: the request cannot have reached the provider."""


class OutcomeUnknown(ProviderError):
    """It may have been executed."""


class Provider(Protocol):
    name: str
    capabilities: Capabilities

    def send(self, instruction: Instruction) -> Report:
        """Have the money moved; idempotent by reference within the window. Raises ProviderError."""

    def ask(self, instruction: Instruction) -> Report:
        """Tell what became of the reference. Moves nothing. Raises ProviderError."""
