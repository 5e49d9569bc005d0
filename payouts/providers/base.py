"""The interface of a provider: an outside system that moves money. No Django here, and no database.

`send` orders a payment, and `ask` later asks for its outcome. Both return a Report, or raise one of three errors,
which differ in what is known about the money:

* Rejected: the provider documents that it refused and created nothing. No money moved. If the provider does not say so
  of the reference as a whole (`is_for_good`), earlier sends remain open.
* Unavailable: the request cannot have reached the provider. Nothing was sent; a retry is safe.
* OutcomeUnknown: everything else. Money may have moved, so the payout is never sent again before we know.

Any other exception of a provider is treated as OutcomeUnknown.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Protocol

from payouts.recipient_details import RecipientDetails

IDENTITY_LENGTH_MAX: Final = 64


class ReportKind(enum.Enum):
    #: Money moved.
    PAID = "paid"
    #: The provider accepted it; not final yet.
    ACCEPTED = "accepted"
    #: No money moved and none will. This holds for the reference, so for each send with it.
    REJECTED = "rejected"
    #: Money moved and came back.
    RETURNED = "returned"
    #: The provider does not know this reference. No proof that it never will.
    NOT_FOUND = "not_found"


@dataclass(frozen=True)
class Instruction:
    """An order to a provider. The reference is the same in each attempt for a payout, so that it pays once."""

    reference: str
    amount: Decimal
    currency: str
    recipient_details: RecipientDetails
    #: Number of this attempt, from 1.
    attempt: int
    #: Seconds since the first attempt to send; 0 in that attempt.
    age_seconds: float


@dataclass(frozen=True)
class Report:
    """A provider's normalised statement about a payout."""

    kind: ReportKind
    #: The provider's own id, if it gave one.
    provider_reference: str = ""
    code: str = ""
    message: str = ""
    #: Nothing will follow: the payment cannot come back, so no question is needed.
    is_final: bool = False


@dataclass(frozen=True)
class Capabilities:
    """What a provider promises."""

    #: Seconds for which a second send with the same reference does not pay twice; 0: never send again.
    idempotency_window_seconds: float
    #: Seconds after which an accepted payout should be final; later an operator has to look.
    settle_time_seconds: float
    #: Seconds after a payment in which it may come back, so that asking is useful.
    return_window_seconds: float
    #: Limit of concurrent calls, from all processes together; None: no limit but the number of workers.
    concurrency_max: int | None = None
    #: Whether the provider reports outcomes by itself, so that questions find only what a callback lost.
    has_callbacks: bool = False
    #: Whether failures of one payout say something about all, so that a few in a row stop the sending.
    fails_as_a_whole: bool = True
    #: Required fields of the recipient; none: a text is enough.
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
        """`is_for_good`: the provider documents that it remembers the refusal. So nothing with this reference is
        executed any more, not even an earlier send that is still on its way.
        """
        super().__init__(code, message)
        self.is_for_good = is_for_good


class Unavailable(ProviderError):
    """Not sent: the request cannot have reached the provider."""


class OutcomeUnknown(ProviderError):
    """It may have been executed."""

    def __init__(
        self, code: str, message: str = "", *, is_about_payout: bool = False, is_for_operator: bool = False
    ) -> None:
        """`is_about_payout`: the provider answered, and the answer is about this payout alone. So it does not count
        when the state of the provider is judged. `is_for_operator`: no later answer can say what became of the payout.
        """
        super().__init__(code, message)
        self.is_about_payout = is_about_payout
        self.is_for_operator = is_for_operator


class CallbackRefused(Exception):
    """It is not certain that the provider sent this callback, and sent it just now."""


class CallbackUnreadable(Exception):
    """The provider sent the callback, but we cannot read it. The message says what is wrong."""


@dataclass(frozen=True)
class CallbackReport:
    """The content of a callback."""

    reference: str
    report: Report
    #: The sum that the provider reports, to compare with ours.
    amount: Decimal
    currency: str


class Provider(Protocol):
    name: str
    #: Name of the bank behind it, at most IDENTITY_LENGTH_MAX characters. Only the bank that got a payout can say what
    #: became of it, and only there the same reference pays once.
    identity: str
    capabilities: Capabilities

    def send(self, instruction: Instruction) -> Report:
        """Order the payment; idempotent by reference within the window. Raises ProviderError."""

    def ask(self, instruction: Instruction) -> Report:
        """Ask for the outcome. Moves nothing. Raises ProviderError."""

    def authenticate_callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the provider's id of the event, the same for each repeat. Raises CallbackRefused.

        Header names are lower-case.
        """

    def parse_callback(self, body: bytes) -> CallbackReport:
        """Read an authentic callback. Raises CallbackUnreadable."""
