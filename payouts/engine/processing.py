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

# PostgreSQL needs a second or two for a restart or a failover. The sum fits into a task's time.
RECORD_PAUSES_SECONDS: Final = (0.1, 1.0, 3.0)


def process(payout_id: uuid.UUID) -> uuid.UUID | None:
    """Take the payout one step further if a step is due.

    1. Pending: send it.
    2. Processing with an expired lease: the worker died and may have sent it, so the payout becomes unknown.
    3. Unknown, submitted or recently paid: ask the provider.
    Concurrent calls are safe: one of them gets the payout, and the others do nothing.
    Returns a payout that waits for the freed capacity of this provider, for the caller to enqueue.
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
    """Return the evidence to record instead of a call, if a send now could pay twice."""
    if claim.has_run_out:
        # This process was frozen before the call, and other workers may have gone on.
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
    """Record the answer, with retries if the database is away: no other process has the answer."""
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
    """Send an unknown payout again with the same reference, because the provider does not know it.

    "Not found" is no proof that the payout was not executed: see claims.claim_send_again.
    """
    refused = claims.sends_maybe_arrived(payout).filter(outcome=AttemptOutcome.REJECTED)
    if payout.status != PayoutStatus.UNKNOWN or refused.exists():
        # The provider would refuse again. An answer or an operator has to end this payout.
        return
    claim = claims.claim_send_again(payout)
    if claim is not None:
        _send(claim, provider)


def _next_at(provider: str) -> uuid.UUID | None:
    """Return the payout that waits longest at this provider, if the provider can make payouts wait."""
    capabilities = registry.get(provider).capabilities
    if capabilities.concurrency_max is None and not capabilities.fails_as_a_whole:
        return None
    return admission.take_next_waiting(provider)
