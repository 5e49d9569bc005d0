"""Random faults for all transfers, set by POST /control/faults. A restart clears them.

The same seed and the same order of requests give the same faults: each PUT draws one number for each name, in the order
of PROBABILITIES, whether or not the fault is active. So activating one fault does not change the draws of another. Each
GET draws in the same way for the names of LOOKUPS, from random numbers of its own.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox_bank import responses

PROBABILITIES: Final = (
    "rate_limited",
    "error_before",
    "rejected",
    "answer_lost",
    "error_after",
    "truncated",
    "slow",
    "accepted",
    "accepted_rejected",
    "returned",
    "duplicate_callbacks",
    "callbacks_out_of_order",
    "lost_callbacks",
    "malformed",
    "forbidden",
    "hidden",
)
#: Lies about a transfer that was created: an error, "not found", another amount.
LOOKUPS: Final = ("lookup_error", "lookup_stale", "lookup_amount")
#: Name -> maximum in seconds. An hour is longer than any test, and refuses a value in milliseconds.
DURATIONS: Final = dict.fromkeys(
    ("slow_seconds", "settle_seconds", "down_seconds", "latency_seconds", "memory_seconds", "hidden_seconds"), 3600.0
)
_SEED_MAX: Final = 2**63


@dataclass(frozen=True)
class Draw:
    """The faults of one request."""

    triggered: frozenset[str] = frozenset()
    #: Durations that replace the defaults of the bank.
    durations: Mapping[str, float] = field(default_factory=dict)


class FaultInjector:
    """The active faults and their random numbers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.set({})

    def set(self, faults: dict[str, Any]) -> None:
        """Replace the active faults with these, which `check` has accepted, and restart the random numbers."""
        with self._lock:
            # `down_seconds` is a single action, not a state.
            self._faults = {name: value for name, value in faults.items() if name != "down_seconds"}
            seed = faults.get("seed", 0)
            self._random = random.Random(seed)  # noqa: S311 - it must be repeatable
            self._random_of_lookups = random.Random(f"lookups {seed}")  # noqa: S311

    def active(self) -> dict[str, Any]:
        with self._lock:
            return dict(self._faults)

    def draw(self) -> Draw:
        """Draw the faults of one request that moves money."""
        with self._lock:
            return self._draw(PROBABILITIES, self._random)

    def draw_lookup(self) -> Draw:
        """Draw the faults of one look-up."""
        with self._lock:
            return self._draw(LOOKUPS, self._random_of_lookups)

    def _draw(self, names: tuple[str, ...], chance: random.Random) -> Draw:
        drawn = {name: chance.random() for name in names}
        triggered = frozenset(name for name in names if drawn[name] < self._faults.get(name, 0.0))
        return Draw(triggered, {name: self._faults[name] for name in DURATIONS if name in self._faults})


def check(document: dict[str, Any]) -> dict[str, Any]:
    """Return the faults in this document; raise Refusal (400) with the field's name if one is wrong."""
    for name, value in document.items():
        if name == "seed":
            _check_seed(value)
        elif name in PROBABILITIES or name in LOOKUPS:
            _check_number(name, value, maximum=1.0)
        elif name in DURATIONS:
            _check_number(name, value, maximum=DURATIONS[name])
        else:
            known = ", ".join(("seed", *DURATIONS, *PROBABILITIES, *LOOKUPS))
            raise responses.malformed(f"There is no fault {name[:40]!a}. There are: {known}.")
    return document


def _check_seed(value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _SEED_MAX:
        raise responses.malformed("seed must be a whole number of at most 64 bits.")


def _check_number(name: str, value: Any, *, maximum: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # 1e999 is valid JSON and infinite.
    if not is_number or not math.isfinite(value) or not 0 <= value <= maximum:
        raise responses.malformed(f"{name} must be a number from 0 to {maximum:g}.")
