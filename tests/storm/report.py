"""The figures of a storm, and what is wrong where something is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from payouts.states import PayoutStatus
from tests.storm import ledger, verdict
from tests.storm.course import Outcome
from tests.storm.observed import Observed
from tests.storm.proxies import Mode
from tests.storm.stage import Stage

#: More would hide what they have in common.
VIOLATIONS_SHOWN_MAX = 30
STORIES_SHOWN_MAX = 8
_LEASE_RAN_OUT = "the lease ran out"


def figures(outcome: Outcome, stage: Stage, *, seed: int, seconds: float) -> Iterator[tuple[str, object]]:
    """Yield the lines of the table."""
    yield "seconds of faults", f"{seconds:g}"
    yield "seed", seed
    yield from _asked(outcome)
    yield from _broken(outcome, stage)
    yield from _done(outcome)
    yield "given up by operators in the end", outcome.given_up
    for what, count in sorted(outcome.refused.items()):
        yield f"  refused to operators: {what}", count
    yield "final before the faults ended", outcome.final_in_time
    for name, count in outcome.occurred.items():
        yield f"occurred: {name}", count
    yield "lost", verdict.lost(outcome.violations)
    yield "paid twice", verdict.paid_twice(outcome.violations)
    yield "violations", len(outcome.violations)
    yield "recovery, seconds", f"{outcome.settled_after:.1f}"
    yield "  until every process served", f"{outcome.whole_after:.1f}"
    yield "  until every client had its answers", f"{outcome.answered_after:.1f}"


def _asked(outcome: Outcome) -> Iterator[tuple[str, object]]:
    told = outcome.observed.told
    yield "requests", sum(one.requests for one in told)
    yield "payouts acknowledged", sum(len(one.acknowledged) for one in told)
    yield "cancellations acknowledged", sum(len(one.canceled) for one in told)
    yield "repetitions of answered requests", sum(one.repeated for one in told)
    ambiguous: Counter[int] = sum((one.ambiguous for one in told), Counter())
    yield "ambiguous answers", ambiguous.total()
    for status, count in sorted(ambiguous.items()):
        yield f"  {status or 'none'}", count


def _broken(outcome: Outcome, stage: Stage) -> Iterator[tuple[str, object]]:
    faults = outcome.faults
    yield "faults", faults.done.total()
    for name, count in sorted(faults.done.items()):
        yield f"  {name}", count
    yield "faults that found nobody", len(faults.missed)
    yield "processes started again", stage.supervisor.restarts
    for (name, exit_code), count in sorted(
        Counter((one.name, one.exit_code) for one in stage.supervisor.ended).items()
    ):
        yield f"  {name} had ended by itself with {exit_code}", count
    yield "connections cut", sum(wire.cut for wire in stage.wires.all)
    lost: Counter[Mode] = sum((Counter(wire.lost) for wire in stage.wires.all), Counter())
    for mode, count in sorted(lost.items(), key=lambda item: item[0].value):
        yield f"  with {_WITH[mode]} in it", count


_WITH = {Mode.LOSE_ANSWERS: "an answer", Mode.LOSE_RECEIPTS: "the receipt of a COMMIT", Mode.LOSE_COMMITS: "a COMMIT"}


def _done(outcome: Outcome) -> Iterator[tuple[str, object]]:
    kinds = Counter(attempt.kind for attempt in outcome.observed.attempts)
    yield "sends", kinds["send"]
    yield "asks", kinds["ask"]
    yield "callbacks applied", kinds["callback"]
    ran_out = sum(row.reason.startswith(_LEASE_RAN_OUT) for row in outcome.observed.transitions)
    yield "leases recovered", ran_out
    statuses = Counter(payout.status for payout in outcome.observed.payouts)
    for status in PayoutStatus.values:
        yield status.replace("_", " "), statuses[status]


def table(lines: Iterator[tuple[str, object]]) -> str:
    rows = [(name, str(value)) for name, value in lines]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{value:>10}" for name, value in rows)


def accusation(outcome: Outcome) -> str:
    """Return each violation, with the whole story of the first payouts that are concerned."""
    shown = outcome.violations[:VIOLATIONS_SHOWN_MAX]
    lines = [str(violation) for violation in shown]
    if len(outcome.violations) > len(shown):
        lines.append(f"... and {len(outcome.violations) - len(shown)} more")
    subjects = dict.fromkeys(ledger.payout_of(violation.subject) for violation in shown)
    for payout_id in list(subjects)[:STORIES_SHOWN_MAX]:
        lines.extend(story(outcome.observed, payout_id))
    return "\n".join(lines)


def story(seen: Observed, payout_id: str) -> list[str]:
    """Return what happened to one payout, as far as anybody wrote it down."""
    lines = [f"   {payout}" for payout in seen.payouts if payout.id == payout_id]
    lines += [
        f"   {row.from_status or 'new'} -> {row.to_status}: {row.reason}"
        for row in seen.transitions
        if row.payout_id == payout_id
    ]
    attempts = [row for row in seen.attempts if row.payout_id == payout_id]
    for (kind, outcome), alike in itertools.groupby(attempts, key=lambda row: (row.kind, row.outcome)):
        numbers = [row.number for row in alike]
        lines.append(f"   attempts {numbers[0]} to {numbers[-1]}: {kind}, {outcome or 'no outcome'}")
    lines += [f"   {row}" for row in seen.transfers if ledger.payout_of(row.reference) == payout_id]
    return [f"-- {payout_id}", *lines] if lines else []
