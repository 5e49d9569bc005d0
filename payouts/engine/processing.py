"""The engine: take a due payout one step further. Knows no HTTP and no Celery.

# Note [Commit, call, commit]
1. A short transaction takes the lease and writes the attempt, and commits (payouts/engine/claims.py).
2. The provider is called. No transaction is open and no row is locked.
3. A second short transaction records the answer and changes the status (payouts/engine/outcomes.py).
If a worker dies between 1 and 3, its lease runs out, and the provider is asked about the payout.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Final

from django.db import DatabaseError, InterfaceError, connection

from payouts.engine import banks, circuits, claims, evidence, lane_circuits, leases, outcomes
from payouts.engine.claims import Claim
from payouts.engine.evidence import Evidence
from payouts.engine.lane_circuits import LaneState
from payouts.models import Payout
from payouts.providers import registry
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus
from postgres.errors import is_connection_lost

logger = logging.getLogger(__name__)

# PostgreSQL needs a second or two for a restart or a failover. The sum fits into a task's time.
RECORD_PAUSES_SECONDS: Final = (0.1, 1.0, 3.0)

LEASE_RAN_OUT: Final = Evidence(
    AttemptOutcome.NOT_SENT, "lease_ran_out", "The lease ran out before the provider was called."
)
WINDOW_OVER: Final = Evidence(
    AttemptOutcome.NOT_SENT, "window_over", "The provider may not know the reference any more."
)
#: Results of sends that were not made. They say nothing of the provider.
NOT_CALLED: Final = (LEASE_RAN_OUT, WINDOW_OVER)

Answer = tuple[Claim, Evidence]


def process(payout_id: uuid.UUID) -> None:
    """Take one payout one step further here and now, if a step is due. (Work in bulk: payouts/engine/rounds.py.)

    1. Pending: send it.
    2. Processing with an expired lease: the worker died and may have sent it, so the payout becomes unknown.
    3. Unknown, submitted or recently paid: ask the provider. If it does not know the payout, send again.
    Concurrent calls are safe: one of them gets the payout, and the others do nothing.
    """
    payout = Payout.objects.filter(pk=payout_id).first()
    if payout is None or payout.provider not in registry.PROVIDERS:
        return
    if payout.status == PayoutStatus.PROCESSING and leases.expire(at_most=1, only=payout_id):
        payout.refresh_from_db()
    claim = claims.claim_one(payout)
    while claim is not None:
        found = call(claim)
        record([(claim, found)])
        claim = next_claim(claim, found)


def call(claim: Claim) -> Evidence:
    """Make the call of a claim: step 2 of Note [Commit, call, commit]. Uses no database. Never raises an Exception."""
    provider = registry.get(claim.payout.provider)
    if claim.other_bank:
        return banks.evidence_of_another(claim.other_bank, here=provider.identity)
    if claim.kind == AttemptKind.ASK:
        return evidence.call_provider(provider.ask, claim.instruction)
    return _reason_not_to_send(claim) or evidence.call_provider(provider.send, claim.instruction)


def _reason_not_to_send(claim: Claim) -> Evidence | None:
    """Return the evidence to record instead of a call, if a send now could pay twice."""
    if claim.has_run_out:
        # This process was frozen before the call, and other workers may have gone on.
        return LEASE_RAN_OUT
    return WINDOW_OVER if claim.is_outside_window else None


def next_claim(claim: Claim, found: Evidence) -> Claim | None:
    """Claim a payout again that its provider does not know, to send it once more with the same reference.

    "Not found" is no proof that the payout was not executed: see claims.claim_again.
    """
    is_lost = claim.kind == AttemptKind.ASK and found.outcome == AttemptOutcome.NOT_FOUND
    return claims.claim_again(claim) if is_lost and claim.payout.status == PayoutStatus.UNKNOWN else None


def record(answers: Sequence[Answer]) -> None:
    """Record answers: step 3 of Note [Commit, call, commit]. No other process has them, so failures are retried."""
    left = list(answers)
    for pause_seconds in (*RECORD_PAUSES_SECONDS, 0.0):
        left, error = _record_once(left)
        if error is None:
            break
        ids = [str(claim.payout.pk) for claim, _ in left]
        logger.warning("payout.settle.failed", extra={"payout_ids": ids, "error": str(error)})
        if not isinstance(error, DatabaseError | InterfaceError):
            # A defect of ours: another try would fail as well.
            break
        connection.close()
        time.sleep(pause_seconds)
    _judge_providers(answers)
    if error is not None:
        raise error


def _record_once(answers: list[Answer]) -> tuple[list[Answer], Exception | None]:
    """Record the answers together, or else each by itself. Return those that failed, with the last error."""
    try:
        outcomes.record_many(answers)
    except Exception as error:  # noqa: BLE001 - the other answers must be recorded whatever it is
        if len(answers) == 1 or is_connection_lost(error):
            return answers, error
    else:
        return [], None
    # One that is locked, or that the database refuses, must not hold up the others.
    results = [_record_once([answer]) for answer in answers]
    failed = [(left, error) for left, error in results if error is not None]
    return [answer for left, _ in failed for answer in left], failed[-1][1] if failed else None


def _judge_providers(answers: Sequence[Answer]) -> None:
    """Count the results of sends for the circuits of providers and lanes. Those of healthy ones take no statement."""
    judged = [(claim, found) for claim, found in answers if _is_judged(claim, found)]
    for claim, found in judged:
        if found.is_trouble:
            is_lane_trial = claim.lane is LaneState.TO_BE_TRIED
            circuits.record_failure(claim.payout, is_trial=claim.is_trial, is_lane_trial=is_lane_trial)
    answered = [claim for claim, found in judged if not found.is_trouble]
    watched = Counter((claim.payout.provider, claim.circuit) for claim in answered)
    for (provider, state), count in watched.items():
        if state is not circuits.State.CLOSED:
            circuits.record_answers(provider, count=count, is_trial=state.takes_trial)
    lanes = {(claim.payout.provider, claim.payout.mode) for claim in answered if claim.lane is not LaneState.CLOSED}
    for provider, mode in lanes:
        merchants = {claim.payout.merchant_id for claim in answered if claim.lane is not LaneState.CLOSED}
        lane_circuits.record_answers(provider, mode, merchants)


def _is_judged(claim: Claim, found: Evidence) -> bool:
    if claim.kind != AttemptKind.SEND or not registry.get(claim.payout.provider).capabilities.fails_as_a_whole:
        return False
    return found not in NOT_CALLED and not claim.other_bank
