"""The engine: take a payout that is due one step further. Knows no HTTP and no Celery.

# Note [Commit, call, commit]
1. A short transaction takes the lease and writes the attempt, and commits (payouts/engine/claims.py).
2. The provider is called. No transaction is open and no row is locked.
3. A second short transaction writes what the answer showed and changes the status (payouts/engine/outcomes.py).
A worker that dies between 1 and 3 leaves a lease that runs out; what it may have sent is then asked about.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Final

from django.db import InterfaceError, OperationalError, connection

from payouts.engine import admission, circuits, claims, evidence, outcomes
from payouts.engine.claims import Claim
from payouts.engine.evidence import Evidence
from payouts.models import Payout
from payouts.providers import base, registry
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus

logger = logging.getLogger(__name__)

# PostgreSQL is back after a second or two where it was restarted, or another one took over. Within a task's time.
RECORD_PAUSES_SECONDS: Final = (0.1, 1.0, 3.0)


def process(payout_id: uuid.UUID) -> uuid.UUID | None:
    """Take the payout one step further if something is due.

    1. Pending: send it.
    2. Processing with a lease that ran out: its worker died and may have sent it, so it becomes unknown.
    3. Unknown, submitted or recently paid: ask the provider.
    Any number of callers may do this at once: one gets the payout, for the others there is nothing to do.
    Returns the payout that waits for the room which this one has left at its provider, for the caller to ring for.
    """
    payout = Payout.objects.filter(pk=payout_id).first()
    if payout is None or payout.provider not in registry.PROVIDERS:
        return None
    if payout.status == PayoutStatus.PENDING:
        claim = claims.claim_send(payout)
    else:
        claims.expire_lease(payout_id)
        claim = claims.claim_ask(payout)
    if claim is None:
        return None
    _step(claim, registry.get(payout.provider))
    return _next_at(payout.provider)


def _step(claim: Claim, provider: base.Provider) -> None:
    if claim.kind == AttemptKind.SEND:
        _send(claim, provider)
    elif _attempt(claim, provider.ask).outcome == AttemptOutcome.NOT_FOUND and claim.leaves_time_for_another_call:
        _send_again(claim.payout, provider)


def _send(claim: Claim, provider: base.Provider) -> None:
    held_back = _reason_not_to_send(claim)
    if held_back is not None:
        _record(claim, held_back)
        return
    found = _attempt(claim, provider.send)
    if provider.capabilities.fails_as_a_whole:
        circuits.record(provider.name, found, payout_id=claim.payout.pk, is_trial=claim.is_trial)


def _reason_not_to_send(claim: Claim) -> Evidence | None:
    """Return what there is to write down instead of a call, where to send now could pay twice."""
    if claim.has_run_out:
        # This process was frozen before it called anybody, and others may have gone on without it.
        return Evidence(AttemptOutcome.NOT_SENT, "lease_ran_out", "The lease ran out before the provider was called.")
    if claim.is_outside_window:
        return Evidence(AttemptOutcome.NOT_SENT, "window_over", "The provider may not know the reference any more.")
    return None


def _attempt(claim: Claim, call: Callable[[base.Instruction], base.Report]) -> Evidence:
    """Call the provider and record: steps 2 and 3 of Note [Commit, call, commit]."""
    found = evidence.call_provider(call, claim.instruction)
    _record(claim, found)
    return found


def _record(claim: Claim, found: Evidence) -> None:
    """Write it down, again where the database is away for a moment: nobody else knows what the provider said."""
    for pause_seconds in RECORD_PAUSES_SECONDS:
        try:
            outcomes.record(claim, found)
        except (OperationalError, InterfaceError) as error:
            logger.warning("payout.settle.failed", extra={"payout_id": str(claim.payout.pk), "error": str(error)})
            connection.close()
            time.sleep(pause_seconds)
        else:
            return
    outcomes.record(claim, found)


def _send_again(payout: Payout, provider: base.Provider) -> None:
    """Send an unknown payout, which the provider does not know, once more with the same reference.

    Not finding it is no proof that it was never executed: see claims.claim_send_again.
    """
    refused = claims.sends_maybe_arrived(payout).filter(outcome=AttemptOutcome.REJECTED)
    if payout.status != PayoutStatus.UNKNOWN or refused.exists():
        # What it refused once it would refuse again. An answer, or an operator, has to end this one.
        return
    claim = claims.claim_send_again(payout)
    if claim is not None:
        _send(claim, provider)


def _next_at(provider: str) -> uuid.UUID | None:
    """Return who waits for room at this provider, where it has a limit or may have been in trouble."""
    capabilities = registry.get(provider).capabilities
    if capabilities.concurrency_max is None and not capabilities.fails_as_a_whole:
        return None
    return admission.take_next_waiting(provider)
