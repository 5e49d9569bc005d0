"""Record evidence and move the payout accordingly: step 3 of Note [Commit, call, commit].

Evidence is applied whenever it comes, and is never dropped. If evidence contradicts the status, the status stays, the
payout is flagged for an operator, and an error is logged. Code that turned `failed` into `paid` would hide a possible
double payment.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now

from payouts import transitions
from payouts.engine import claims, evidence, retries
from payouts.engine.claims import Claim
from payouts.engine.evidence import Evidence, Verdict
from payouts.models import Payout, PayoutAttempt
from payouts.providers import registry
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus, path_of_evidence

logger = logging.getLogger(__name__)

#: Our own reason for `failed`, beside those of the providers.
PROVIDER_UNAVAILABLE = "provider_unavailable"

Decision = tuple[PayoutStatus | None, str, dict[str, Any]]


def record(claim: Claim, found: Evidence) -> None:
    """Record the provider's answer, and change the status if the answer is evidence of another one.

    If the lease was lost, the evidence is applied to the payout's current state.
    """
    with transaction.atomic(durable=True):
        under_way = PayoutAttempt.objects.filter(pk=claim.attempt_id, finished_at__isnull=True)
        if not under_way.update(finished_at=Now(), outcome=found.outcome, code=found.code, message=found.message):
            # Recorded before: the COMMIT succeeded, and only its confirmation got lost.
            return
        target, reason, changes = _decide(claim, found)
        source = PayoutStatus(claim.payout.status)
        mine = models.Q(lease_token=claim.payout.lease_token)
        if target is None:
            recorded = _reschedule(claim.payout, mine, changes)
        else:
            recorded = _move(claim.payout, source, target, actor=claims.ACTOR, reason=reason, only_if=mine, **changes)
        if not recorded:
            _apply_late_evidence(claim, found)


def _decide(claim: Claim, found: Evidence) -> Decision:
    """Return the next status (None: unchanged), the reason, and the columns that change."""
    payout, status = claim.payout, PayoutStatus(claim.payout.status)
    verdict = Verdict.INCONCLUSIVE if _proves_nothing(claim, found) else evidence.judge(status, found.outcome)
    target = evidence.target_of(found.outcome)
    if verdict is Verdict.ADVANCES and target is not None:
        return target, str(found), _columns(target, found, payout)
    if verdict is Verdict.CONTRADICTS:
        flag_contradiction(payout, found)
    if status == PayoutStatus.PROCESSING:
        return _decide_inconclusive_send(claim, found)
    return _decide_next_ask(claim, status, found)


def _decide_inconclusive_send(claim: Claim, found: Evidence) -> Decision:
    if found.outcome != AttemptOutcome.NOT_SENT or claim.maybe_sent:
        return PayoutStatus.UNKNOWN, str(found), {"due_at": _in(_ask_delay(1))}
    sends_count, tried_for_seconds = _tries(claim)
    if tried_for_seconds >= retries.NOT_SENT_GIVE_UP_SECONDS:
        # Evidence that no money moved: no attempt reached the provider.
        failure = {"failure_code": PROVIDER_UNAVAILABLE, "failure_message": found.message}
        return PayoutStatus.FAILED, str(found), {"due_at": None, **failure}
    delay_seconds = retries.send_delay_seconds(sends_count, delay_max=settings.RETRY_DELAY_MAX_SECONDS)
    # Nothing was sent, so the provider's windows start with the next attempt that may reach it.
    return PayoutStatus.PENDING, str(found), {"due_at": _in(delay_seconds), "first_sent_at": None}


def _tries(claim: Claim) -> tuple[int, float]:
    """Return the number of sends since the last act of an operator, and their age in seconds."""
    attempts = claim.payout.attempts
    last_act = attempts.filter(kind=AttemptKind.OPERATOR).order_by("-number").values_list("number", flat=True).first()
    sends = attempts.filter(kind=AttemptKind.SEND, number__gt=last_act or 0)
    began_at = list(sends.order_by("number").values_list("started_at", flat=True))
    return len(began_at), (claim.claimed_at - began_at[0]).total_seconds()


def _decide_next_ask(claim: Claim, status: PayoutStatus, found: Evidence) -> Decision:
    if status == PayoutStatus.REQUIRES_ATTENTION:
        return None, "", {"due_at": None}
    capabilities = registry.get(claim.payout.provider).capabilities
    patience_seconds = {
        PayoutStatus.UNKNOWN: retries.UNKNOWN_GIVE_UP_SECONDS,
        PayoutStatus.SUBMITTED: capabilities.settle_time_seconds,
        PayoutStatus.PAID: capabilities.return_window_seconds,
    }[status]
    is_settled = status == PayoutStatus.PAID and found.is_final
    if _waited_seconds(claim, status) < patience_seconds and not is_settled:
        rarer = retries.ASK_PAID_RARER if status == PayoutStatus.PAID else 1
        return None, "", {"due_at": _in(_ask_delay(claim.payout.attempts_count, rarer=rarer))}
    if status == PayoutStatus.PAID:
        return None, "", {"due_at": None}
    return PayoutStatus.REQUIRES_ATTENTION, "the provider did not say in time how it ended", {"due_at": None}


def _ask_delay(attempt: int, *, rarer: int = 1) -> float:
    return retries.ask_delay_seconds(attempt, delay_max=settings.RETRY_DELAY_MAX_SECONDS * rarer)


def _waited_seconds(claim: Claim, status: PayoutStatus) -> float:
    """Return the seconds since the payout was accepted or paid, or else since it was sent."""
    if status == PayoutStatus.UNKNOWN:
        return claim.instruction.age_seconds
    since = claim.payout.transitions.filter(to_status=status).order_by("-id").values_list("created_at", flat=True)[0]
    return (claim.claimed_at - since).total_seconds()


def _columns(target: PayoutStatus, found: Evidence, payout: Payout) -> dict[str, Any]:
    columns: dict[str, Any] = {"due_at": None}
    if found.provider_reference:
        columns["provider_reference"] = found.provider_reference
    if target in {PayoutStatus.FAILED, PayoutStatus.RETURNED}:
        columns |= {"failure_code": found.code, "failure_message": found.message}
    elif target == PayoutStatus.SUBMITTED or _may_come_back(payout, found):
        # The payout is not final, or the money may come back: ask again.
        columns["due_at"] = _in(_ask_delay(1))
    return columns


def _may_come_back(payout: Payout, found: Evidence) -> bool:
    return not found.is_final and registry.get(payout.provider).capabilities.return_window_seconds > 0


def _in(seconds: float) -> models.Expression | models.F:
    return Now() + timedelta(seconds=seconds)


def _reschedule(payout: Payout, mine: models.Q, changes: dict[str, Any]) -> bool:
    """Release the lease and set the time of the next question."""
    return bool(
        Payout.objects.filter(mine, pk=payout.pk, status=payout.status).update(
            lease_token=None, lease_expires_at=None, **changes
        )
    )


def _move(
    payout: Payout,
    source: PayoutStatus,
    target: PayoutStatus,
    *,
    actor: str,
    reason: str,
    only_if: models.Q | None = None,
    **changes: Any,
) -> bool:
    """Move to the target through the statuses that it implies. Return False if `only_if` does not hold."""
    path = path_of_evidence(source, target)
    for step, following in zip((source, *path), path, strict=False):
        last = {} if following != path[-1] else changes
        if not transitions.move(
            payout.pk, source=step, target=following, actor=actor, reason=reason, only_if=only_if, **last
        ):
            return False
        only_if = None
    return True


def _apply_late_evidence(claim: Claim, found: Evidence) -> None:
    """Apply evidence of a worker without its lease to the payout's current state."""
    payout = Payout.objects.select_for_update().get(pk=claim.payout.pk)
    is_refused_send = claim.kind == AttemptKind.SEND and found.outcome == AttemptOutcome.REJECTED
    if _proves_nothing(claim, found) or (is_refused_send and payout.status == PayoutStatus.SUBMITTED):
        # The provider accepted the payout in another answer. We ask it later which answer holds.
        return
    verdict = apply(
        payout,
        found,
        reference_number=claim.payout.reference_number,
        actor=claims.ACTOR,
        reason=f"late evidence: {found}",
    )
    logger.info("payout.evidence.late", extra={**_names(payout, found), "reading": verdict.value})


def apply(payout: Payout, found: Evidence, *, reference_number: int, actor: str, reason: str) -> Verdict:
    """Apply evidence about a reference to a payout that the caller's transaction has locked.

    Returns the verdict on the evidence.
    """
    status = PayoutStatus(payout.status)
    if reference_number == payout.reference_number:
        verdict = evidence.judge(status, found.outcome)
    else:
        verdict = evidence.judge_earlier_reference(found.outcome)
    if verdict is Verdict.CONTRADICTS and _is_overtaken(payout, found, reference_number):
        verdict = Verdict.KNOWN
    target = evidence.target_of(found.outcome)
    if verdict is Verdict.ADVANCES and target is not None:
        _move(payout, status, target, actor=actor, reason=reason, **_columns(target, found, payout))
    elif verdict is Verdict.CONTRADICTS:
        flag_contradiction(payout, found)
    return verdict


def _is_overtaken(payout: Payout, found: Evidence, reference_number: int) -> bool:
    """Tell whether `accepted` is old news of a payment that the provider accepted and then did not execute.

    A refused send is different: it created nothing, so the provider cannot have accepted anything.
    """
    ended = payout.attempts.filter(reference_number=reference_number, outcome=AttemptOutcome.REJECTED)
    if not payout.provider_reference:
        # The provider has no payment: it refused the send itself.
        ended = ended.exclude(kind=AttemptKind.SEND)
    return found.outcome == AttemptOutcome.ACCEPTED and ended.exclude(kind=AttemptKind.OPERATOR).exists()


def flag_contradiction(payout: Payout, found: Evidence) -> None:
    """Flag a payout whose status the provider contradicts, and log an error. The status stays."""
    Payout.objects.filter(pk=payout.pk, contradicted_at__isnull=True).update(contradicted_at=Now())
    names = _names(payout, found)
    transaction.on_commit(lambda: logger.error("payout.evidence.contradicted", extra=names))


def _proves_nothing(claim: Claim, found: Evidence) -> bool:
    """Tell whether the provider refused only one of several sends.

    Such a refusal says nothing of the other sends, which may have moved the money or still will. A refusal for good, or
    in answer to a question about the reference, covers all of them.
    """
    refused_send = claim.kind == AttemptKind.SEND and found.is_of_one_send
    return refused_send and claims.sends_maybe_arrived(claim.payout).exclude(pk=claim.attempt_id).exists()


def _names(payout: Payout, found: Evidence) -> dict[str, str]:
    return {"payout_id": str(payout.pk), "status": str(payout.status), "outcome": found.outcome.value}
