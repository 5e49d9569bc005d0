"""Which faults come when. A pure function of seed and length, so that a storm that found something can be repeated.

The faults are dealt from a deck, so that each kind comes before any of them comes again.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final


class Kind(enum.Enum):
    #: `kill -9` of the process and all that it started.
    KILL = "kill -9, whole group"
    #: ... of the process alone: what it started may go on for a while.
    KILL_PARENT = "kill -9, parent alone"
    #: ... of one process that it started.
    KILL_CHILD = "kill -9, one child"
    #: The whole group is silent for a while, and then goes on where it was.
    FREEZE = "SIGSTOP"
    TERMINATE = "backends terminated"
    #: The server ends at once, without a checkpoint, and replays its log.
    RESTART = "server restarted"
    FLUSH = "FLUSHALL"
    #: The bank itself closes its door.
    DOWN = "down"
    REFUSE = "refused"
    #: Nothing arrives, in neither direction; later everything does.
    SILENCE = "partitioned"
    #: The same for about half of the connections.
    DELAY = "some connections held up"
    CUT = "connections cut"
    #: What was asked is carried out, and the answer never arrives.
    LOSE_ANSWERS = "answers lost"
    #: The COMMIT is carried out, and its receipt never arrives.
    LOSE_RECEIPTS = "COMMIT receipts lost"
    #: The COMMIT never arrives.
    LOSE_COMMITS = "COMMITs lost"


PROCESSES: Final = ("web", "worker-1", "worker-2", "sweeper-1", "sweeper-2", "redis", "postgres", "bank")
WIRES: Final = ("to_web", "to_database", "to_broker", "to_bank")
_SAME_KIND: Final = {"worker": ("worker-1", "worker-2"), "sweeper": ("sweeper-1", "sweeper-2")}

#: Longer than a lease is in a storm (9 s): it wakes up when somebody else has taken over.
LONGER_THAN_LEASE_SECONDS: Final = (10.0, 11.0)
#: A killed process is away for so long. Python's need a second or two more before they work again.
_AWAY_SECONDS: Final = (0.1, 1.5)
_GLIMPSE_SECONDS: Final = (1.0, 3.0)
#: Longer than a provider is given in a storm (3 s).
_LONGER_THAN_CALL_SECONDS: Final = (3.5, 5.0)
#: ... and than it takes until it is asked about what it never saw.
_LONGER_THAN_CALL_AND_RETRY_SECONDS: Final = (5.5, 7.0)

_LONG_SECONDS: Final = 3.0

#: From one fault to the next, so that the platform works in between and 45 s hold the whole deck.
_GAP_SECONDS: Final = 1.2
_FIRST_AT_SECONDS: Final = 0.5
#: What has just had a fault gets so much time before its next.
_REST_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong: when it begins, and for how long (0: it is over at once)."""

    at: float
    kind: Kind
    target: str
    seconds: float

    @property
    def ends_at(self) -> float:
        return self.at + self.seconds

    def __str__(self) -> str:
        lasting = f" for {self.seconds:.1f} s" if self.seconds else ""
        return f"{self.at:6.1f} s  {self.target}: {self.kind.value}{lasting}"


@dataclass(frozen=True)
class Card:
    kind: Kind
    target: str
    seconds: tuple[float, float] = (0.0, 0.0)


DECK: Final = (
    Card(Kind.KILL, "worker", _AWAY_SECONDS),
    Card(Kind.KILL_PARENT, "worker", _AWAY_SECONDS),
    Card(Kind.KILL_CHILD, "worker"),
    Card(Kind.FREEZE, "worker", LONGER_THAN_LEASE_SECONDS),
    Card(Kind.FREEZE, "worker", _LONGER_THAN_CALL_SECONDS),
    Card(Kind.KILL, "sweeper", _AWAY_SECONDS),
    Card(Kind.FREEZE, "sweeper", LONGER_THAN_LEASE_SECONDS),
    Card(Kind.KILL, "web", _AWAY_SECONDS),
    Card(Kind.KILL_CHILD, "web"),
    Card(Kind.FREEZE, "web", _GLIMPSE_SECONDS),
    Card(Kind.KILL, "redis", _AWAY_SECONDS),
    Card(Kind.FREEZE, "redis", _GLIMPSE_SECONDS),
    Card(Kind.FLUSH, "redis"),
    Card(Kind.TERMINATE, "postgres"),
    Card(Kind.RESTART, "postgres", _AWAY_SECONDS),
    Card(Kind.KILL, "bank", _AWAY_SECONDS),
    Card(Kind.DOWN, "bank", _GLIMPSE_SECONDS),
    Card(Kind.CUT, "to_web"),
    Card(Kind.LOSE_ANSWERS, "to_web", _GLIMPSE_SECONDS),
    Card(Kind.CUT, "to_database"),
    Card(Kind.SILENCE, "to_database", _GLIMPSE_SECONDS),
    Card(Kind.LOSE_RECEIPTS, "to_database", _GLIMPSE_SECONDS),
    Card(Kind.LOSE_COMMITS, "to_database", _GLIMPSE_SECONDS),
    Card(Kind.REFUSE, "to_broker", _GLIMPSE_SECONDS),
    Card(Kind.SILENCE, "to_broker", _GLIMPSE_SECONDS),
    Card(Kind.LOSE_ANSWERS, "to_broker", _GLIMPSE_SECONDS),
    Card(Kind.REFUSE, "to_bank", _GLIMPSE_SECONDS),
    Card(Kind.SILENCE, "to_bank", _LONGER_THAN_CALL_SECONDS),
    Card(Kind.DELAY, "to_bank", _LONGER_THAN_CALL_AND_RETRY_SECONDS),
    Card(Kind.CUT, "to_bank"),
    Card(Kind.LOSE_ANSWERS, "to_bank", _GLIMPSE_SECONDS),
)


def make(*, seed: int, seconds: float) -> tuple[Fault, ...]:
    """Return the faults of a storm in the order in which they begin. All are over when it is."""
    chance = random.Random(f"faults {seed}")
    return tuple(_deal(chance, seconds=seconds))


def _deal(chance: random.Random, *, seconds: float) -> Iterator[Fault]:
    free_at = dict.fromkeys((*PROCESSES, *WIRES), 0.0)
    hand: list[Card] = []
    at = _FIRST_AT_SECONDS
    while at < seconds:
        hand = hand or _shuffled(chance)
        fault = _first_that_fits(hand, chance, at=at, ends_at=seconds, free_at=free_at)
        if fault is not None:
            free_at[fault.target] = fault.ends_at + _REST_SECONDS
            yield fault
        at += _GAP_SECONDS * chance.uniform(0.9, 1.1)


def _shuffled(chance: random.Random) -> list[Card]:
    """Return the deck in random order, with what takes long in its first half, where there is time left for it."""
    return sorted(DECK, key=lambda card: chance.random() * (0.5 if card.seconds[0] >= _LONG_SECONDS else 1.0))


def _first_that_fits(
    hand: list[Card], chance: random.Random, *, at: float, ends_at: float, free_at: dict[str, float]
) -> Fault | None:
    """Take the first card from the hand whose target is left alone at this moment and for which there is time."""
    for card in hand:
        candidates = [name for name in _SAME_KIND.get(card.target, (card.target,)) if free_at[name] <= at]
        lasting = round(chance.uniform(*card.seconds), 1)
        if candidates and at + lasting <= ends_at:
            hand.remove(card)
            return Fault(round(at, 1), card.kind, chance.choice(candidates), lasting)
    return None


def describe(faults: Iterable[Fault]) -> str:
    return "\n".join(str(fault) for fault in faults)
