"""What is there when the storm is over: what clients were told, what PostgreSQL holds, what the bank's book says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tests.storm import limits
from tests.storm.told import Told

#: Of a UUID as text.
UUID_LENGTH: Final = 36


@dataclass(frozen=True)
class Payout:
    id: str
    merchant: str
    mode: str
    status: str
    amount: Decimal
    currency: str
    account: str
    idempotency_key: str | None
    attempts_count: int
    is_leased: bool
    is_due: bool
    is_contradicted: bool
    failure_code: str = ""
    reference_number: int = 1
    #: Seconds since the first send with the present reference.
    first_sent_seconds_ago: float | None = None
    is_deleted: bool = False
    #: Seconds of the epoch, by the database's clock, like all times here.
    created_at: float = 0.0


@dataclass(frozen=True)
class Transition:
    payout_id: str
    from_status: str
    to_status: str
    reason: str


@dataclass(frozen=True)
class Attempt:
    payout_id: str
    number: int
    kind: str
    outcome: str
    code: str
    reference_number: int = 1
    started_at: float = 0.0


@dataclass(frozen=True)
class Record:
    """An idempotency record."""

    merchant: str
    key: str
    resource_id: str


@dataclass(frozen=True)
class Callback:
    event_id: str
    is_applied: bool
    result: str


@dataclass(frozen=True)
class Transfer:
    """A line of the bank's book."""

    #: With the payout's id in the place of the UUID that the bank knows.
    reference: str
    amount: Decimal
    currency: str
    status: str
    #: How often money moved.
    executions: int
    #: How often the bank was told to move it.
    requests: int
    #: Why the bank rejected it or sent it back.
    code: str = ""


@dataclass(frozen=True)
class Refusal:
    """A reference that the bank refused for good."""

    reference: str
    code: str
    requests: int


@dataclass(frozen=True)
class Notice:
    """A callback, as the bank has it."""

    event_id: str
    reference: str
    status: str
    #: We answered it with 2xx.
    is_taken: bool


@dataclass(frozen=True)
class Lie:
    """What the bank said of a transfer against its own book."""

    reference: str
    kind: str


@dataclass(frozen=True)
class Pause:
    """A pause that an operator ended: of a merchant, of a provider, or (both empty) of everything."""

    merchant: str
    provider: str
    began_at: float
    ended_at: float


@dataclass(frozen=True)
class Listing:
    """What the API tells a merchant in the end."""

    merchant: str
    mode: str
    #: Id and status of each payout in the list.
    rows: Sequence[tuple[str, str]]
    #: Count and sum, by status and currency.
    sums: Mapping[tuple[str, str], tuple[int, Decimal]]

    @property
    def owner(self) -> str:
        return f"{self.merchant}/{self.mode}"


@dataclass(frozen=True)
class Observed:
    told: Sequence[Told] = ()
    payouts: Sequence[Payout] = ()
    transitions: Sequence[Transition] = ()
    attempts: Sequence[Attempt] = ()
    records: Sequence[Record] = ()
    callbacks: Sequence[Callback] = ()
    transfers: Sequence[Transfer] = ()
    refusals: Sequence[Refusal] = ()
    notices: Sequence[Notice] = ()
    lies: Sequence[Lie] = ()
    pauses: Sequence[Pause] = ()
    listings: Sequence[Listing] = ()
    #: Where the roll-up and the payouts differ.
    rollup_complaints: Sequence[str] = ()
    #: By second: the most calls that the bank served at once, while the way to it was whole.
    calls_at_once: Mapping[int, int] = field(default_factory=dict)
    #: What the bank takes.
    calls_at_once_max: int = limits.CALLS_AT_ONCE_MAX
    #: For so long after the first send we may send again.
    window_seconds: float = limits.WINDOW_SECONDS
    #: How often money moved at all, by the bank's own count.
    executions_count: int = 0
    #: What the harness itself found to be wrong.
    harness: Sequence[str] = field(default_factory=tuple)
