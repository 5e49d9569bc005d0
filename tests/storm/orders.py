"""What the clients ask for. A pure function of the seed: what differs from storm to storm is when it is asked."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

Choice = TypeVar("Choice")

MERCHANTS: Final = ("acme", "globex")
#: The merchant whose payouts pile up behind a pause.
WHALE: Final = "whale"
#: As many of them as the bank takes some seconds to pay.
WHALE_PAYOUTS: Final = 100
_WHALE_PAUSE_SECONDS: Final = 0.03

#: How the sandbox bank behaves at the first request for a payout to this account, and how often it is chosen.
_ACCOUNTS: Final = {
    "DE89370400440532013000": 56,
    "bank_rejected_account_closed": 4,
    "bank_accepted": 8,
    "bank_accepted_rejected": 4,
    "bank_answer_lost": 5,
    "bank_error": 5,
    "bank_slow": 2,
    "bank_truncated": 4,
    "bank_duplicate_callbacks": 4,
    "bank_callbacks_out_of_order": 4,
    "bank_returned": 3,
    "bank_unavailable": 3,
}
#: The same for test payouts, in the sandbox of the platform.
_TEST_ACCOUNTS: Final = {
    "sandbox_paid": 8,
    "sandbox_rejected_account_closed": 1,
    "sandbox_accepted": 1,
    "sandbox_unknown": 1,
    "sandbox_returned": 1,
    "sandbox_slow": 1,
}
_TEST_SHARE: Final = 0.08
#: Currencies with two decimals, with none and with three.
_DECIMALS: Final = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}


class Then(enum.Enum):
    """What the client does once it has the answer."""

    NOTHING = "nothing"
    #: Asks for an earlier payout again, and must get that one.
    REPEAT = "repeat"
    #: Calls the payout off, if it is quick enough.
    CANCEL = "cancel"
    #: The same for an earlier one, which may have been sent meanwhile.
    CANCEL_EARLIER = "cancel earlier"
    #: Uses the key for another payout, and must be refused.
    REUSE = "reuse"
    #: Writes a note on an earlier one, whatever became of it.
    NOTE_EARLIER = "note earlier"
    #: Changes the amount, if it is quick enough.
    CHANGE = "change"
    #: Takes an earlier one off its list, which calls it off if it can still be.
    DELETE_EARLIER = "delete earlier"


_THENS: Final = {
    Then.NOTHING: 54,
    Then.REPEAT: 14,
    Then.CANCEL: 6,
    Then.CANCEL_EARLIER: 6,
    Then.REUSE: 4,
    Then.NOTE_EARLIER: 4,
    Then.CHANGE: 8,
    Then.DELETE_EARLIER: 4,
}
#: How often the other merchant uses the same key, and how often a request is sent over two connections at once.
_SHARED_KEY_SHARE: Final = 0.1
_TWICE_AT_ONCE_SHARE: Final = 0.08


@dataclass(frozen=True)
class Order:
    """One payout that is wanted, and for each merchant that uses the key: one of each."""

    key: str
    merchants: tuple[str, ...]
    body: dict[str, Any]
    twice_at_once: bool
    then: Then
    #: Seconds that the client waits before it.
    pause_seconds: float
    mode: str = "live"

    @property
    def other_amount(self) -> str:
        """An amount that fits the currency, and is another one."""
        return f"{2 * Decimal(self.body['amount']):f}"


def of_client(*, seed: int, client: int, pause_seconds: float) -> Iterator[Order]:
    """Yield without end what this client wants, with pauses of this length on average."""
    chance = random.Random(f"orders {seed} {client}")
    number = 0
    while True:
        number += 1
        merchants = list(MERCHANTS) if chance.random() < _SHARED_KEY_SHARE else [chance.choice(MERCHANTS)]
        chance.shuffle(merchants)
        mode = "test" if chance.random() < _TEST_SHARE else "live"
        yield Order(
            key=f"storm-{seed}-{client}-{number}",
            merchants=tuple(merchants),
            body=_body(chance, _TEST_ACCOUNTS if mode == "test" else _ACCOUNTS),
            twice_at_once=chance.random() < _TWICE_AT_ONCE_SHARE,
            then=_choose(chance, _THENS),
            pause_seconds=chance.expovariate(1 / pause_seconds),
            mode=mode,
        )


def of_whale(*, seed: int) -> Iterator[Order]:
    """Yield what the whale wants: many payouts of the plain kind, as quickly as it is answered."""
    chance = random.Random(f"whale {seed}")
    for number in range(1, WHALE_PAYOUTS + 1):
        body = _body(chance, {next(iter(_ACCOUNTS)): 1})
        yield Order(
            key=f"whale-{seed}-{number}",
            merchants=(WHALE,),
            body=body,
            twice_at_once=False,
            then=Then.NOTHING,
            pause_seconds=_WHALE_PAUSE_SECONDS,
        )


def _body(chance: random.Random, accounts: dict[str, int]) -> dict[str, Any]:
    currency = chance.choice(list(_DECIMALS))
    decimals = _DECIMALS[currency]
    units = chance.randint(1, 99_999)
    amount = f"{units}.{chance.randrange(10**decimals):0{decimals}d}" if decimals else str(units)
    recipient = {"name": "Jane Doe", "account": _choose(chance, accounts)}
    return {"amount": amount, "currency": currency, "recipient_details": recipient}


def _choose(chance: random.Random, weights: dict[Choice, int]) -> Choice:
    return chance.choices(list(weights), weights=list(weights.values()))[0]
