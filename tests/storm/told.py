"""What clients did and were told, for the verdict: an acknowledged payout is one that must exist, once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Acknowledged:
    """A payout that the platform said it has."""

    merchant: str
    key: str
    payout_id: str
    amount: str
    currency: str
    account: str
    mode: str = "live"


@dataclass
class Told:
    """What one client did and was told."""

    requests: int = 0
    #: By status: 0 is no answer.
    ambiguous: Counter[int] = field(default_factory=Counter)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    #: By payout: the merchant and the key with which it was called off.
    canceled: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: The payout of each change, by merchant and key.
    changed: dict[tuple[str, str], str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    repeated: int = 0
    #: What should never have been said.
    wrong: list[str] = field(default_factory=list)
    #: Requests that had no final answer when the client was told to give up.
    given_up: list[str] = field(default_factory=list)

    def changes(self, before: Acknowledged, after: Acknowledged) -> None:
        """Note that an acknowledged payout has other terms now."""
        self.acknowledged[self.acknowledged.index(before)] = after
