"""What must hold after a storm. Pure: what was observed in, every violation of the promise out.

The promise (README): one key makes at most one payout; an acknowledged payout is there and becomes final; money moves
once for it; nothing is reported failed of which money moved. The rules are in the modules that are named in RULES.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tests.storm import at_bank, callbacks, endings, held, histories, listings, promises
from tests.storm.ledger import Ledger, Violation
from tests.storm.observed import Observed


def judge(observed: Observed) -> list[Violation]:
    """Return everything that should not be so."""
    ledger = Ledger(observed)
    return [violation for rule in RULES for violation in rule(ledger)]


def disagreements(observed: Observed) -> list[Violation]:
    """Return where our book and the bank's are not yet the same, which word of it may still mend."""
    return list(at_bank.agrees(Ledger(observed)))


def lost(violations: Iterable[Violation]) -> int:
    return sum(violation.rule == promises.LOST for violation in violations)


def paid_twice(violations: Iterable[Violation]) -> int:
    return sum(violation.rule == at_bank.TWICE for violation in violations)


def _was_a_storm(ledger: Ledger) -> Iterator[Violation]:
    """A storm in which nothing was asked or nothing went wrong proves nothing."""
    yield from (Violation("harness", "storm", what) for what in ledger.observed.harness)
    if not ledger.acknowledged:
        yield Violation("harness", "storm", "not one payout was acknowledged")


RULES: Final = (
    *promises.RULES,
    *histories.RULES,
    *endings.RULES,
    *at_bank.RULES,
    *callbacks.RULES,
    *held.RULES,
    *listings.RULES,
    _was_a_storm,
)
