"""Where the result of a call is written: to the attempt that was begun for it, or to a late one of its own.

A failover can take back a claim whose call is under way. Ids of attempts come again then, so the attempt with our id
may be another worker's, of another payout. Only the lease tells: each claim has its own.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from django.db.models.functions import Coalesce, Now

from payouts import attempts, money
from payouts.engine import evidence
from payouts.engine.claims import Claim
from payouts.engine.evidence import Evidence
from payouts.models import Payout, PayoutAttempt
from payouts.providers import registry
from payouts.states import AttemptKind, AttemptOutcome

logger = logging.getLogger(__name__)


def complete(claim: Claim, found: Evidence) -> bool:
    """Write the result to the attempt of the claim. Return False if the attempt is not there or was completed."""
    ours = PayoutAttempt.objects.filter(
        pk=claim.attempt_id, payout_id=claim.payout.pk, lease_token=claim.payout.lease_token, finished_at__isnull=True
    )
    written = {"outcome": found.outcome, "code": found.code, "message": found.message}
    return bool(ours.update(finished_at=Now(), **written))


def append(claim: Claim, found: Evidence) -> tuple[Claim, Evidence] | None:
    """Append the result as an attempt of its own. Return it as late evidence, and the claim with the new attempt.

    The payout of that claim is the one that the client's retry created, if the database lost the one that was claimed.
    None: the result was recorded before (the COMMIT succeeded, and only its confirmation got lost), or there is no
    payout any more.
    """
    payout = _lock(claim)
    if payout is None:
        # The log is all that keeps the evidence. A retry of the client will meet the reference at the provider.
        names = {"payout_id": str(claim.payout.pk), "reference": claim.instruction.reference}
        logger.error("payout.evidence.without_payout", extra={**names, "evidence": str(found)})
        return None
    if payout.attempts.filter(lease_token=claim.payout.lease_token, finished_at__isnull=False).exists():
        return None
    found = _about(payout, claim, found)
    attempt = _write(payout, claim, found)
    names = {"payout_id": str(payout.pk), "attempt": str(attempt.number)}
    logger.warning("payout.evidence.appended", extra={**names, "evidence": str(found)})
    # The evidence is about the reference that was called with.
    payout.reference_number, payout.lease_token = claim.payout.reference_number, claim.payout.lease_token
    return replace(claim, payout=payout, attempt_id=attempt.pk), found


def _lock(claim: Claim) -> Payout | None:
    """Lock the payout that has the reference of the claim."""
    own_reference = claim.payout.own_reference or claim.payout.pk
    return Payout.objects.with_reference(own_reference).select_for_update().first()


def _about(payout: Payout, claim: Claim, found: Evidence) -> Evidence:
    """Return the evidence as it is about this payout. Its terms may differ after a lost commit."""
    if _terms(payout) == _terms(claim.payout) or evidence.target_of(found.outcome) is None:
        return found
    called_with = f"{money.format_amount(claim.payout.amount, claim.payout.currency)} {claim.payout.currency}"
    return Evidence(
        AttemptOutcome.UNKNOWN,
        "other_terms",
        f"The provider {claim.payout.provider} was called with other terms, {called_with}, and said: {found}",
        is_for_operator=True,
    )


def _terms(payout: Payout) -> tuple[object, ...]:
    return payout.amount, payout.currency, payout.recipient_details, payout.provider


def _write(payout: Payout, claim: Claim, found: Evidence) -> PayoutAttempt:
    attempt = attempts.record(
        payout,
        kind=claim.kind,
        outcome=found.outcome,
        reference_number=claim.payout.reference_number,
        code=found.code,
        message=found.message,
        bank=registry.get(claim.payout.provider).identity,
        lease_token=claim.payout.lease_token,
    )
    if claim.kind == AttemptKind.SEND and found.outcome != AttemptOutcome.NOT_SENT:
        # The provider's window began with this send, even if the payout is pending again.
        Payout.objects.filter(pk=payout.pk).update(first_sent_at=Coalesce("first_sent_at", claim.claimed_at))
    return attempt
