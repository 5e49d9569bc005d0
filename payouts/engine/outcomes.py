"""Record evidence and move the payout accordingly: step 3 of Note [Commit, call, commit].

Evidence is applied whenever it comes, and is never dropped. If evidence contradicts the status, the status stays, the
payout is flagged for an operator, and an error is logged. Code that turned `failed` into `paid` would hide a possible
double payment.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.db import connection, models, transaction
from django.db.models.functions import Now

from payouts import limits, transitions
from payouts.engine import claims, contradictions, decisions, evidence, results
from payouts.engine.claims import Claim
from payouts.engine.decisions import Decision
from payouts.engine.evidence import Evidence, Verdict
from payouts.models import Payout
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus, path_of_evidence

logger = logging.getLogger(__name__)


def record_many(answers: Sequence[tuple[Claim, Evidence]]) -> None:
    """Record the providers' answers, and change the statuses of which they are evidence.

    The plain ones take at most four statements, however many they are. What is not plain is recorded one by one: a lost
    lease, a contradiction, an answer that implies two changes.
    """
    decided = {claim.attempt_id: decisions.decide(claim, found) for claim, found in answers if _is_plain(claim, found)}
    plain = [(claim, found) for claim, found in answers if claim.attempt_id in decided]
    moves = [_as_json(claim, found, decided[claim.attempt_id]) for claim, found in plain]
    recorded = _record_plain(moves)
    for claim, found in answers:
        if claim.payout.pk not in recorded:
            record(claim, found)


def _is_plain(claim: Claim, found: Evidence) -> bool:
    if found.is_for_operator:
        return False
    if decisions.proves_nothing(claim, found):
        return True
    status, target = PayoutStatus(claim.payout.status), evidence.target_of(found.outcome)
    verdict = evidence.judge(status, found.outcome)
    return verdict is not Verdict.CONTRADICTS and (target is None or len(path_of_evidence(status, target)) <= 1)


def _as_json(claim: Claim, found: Evidence, decision: Decision) -> dict[str, Any]:
    failure_code, failure_message = decision.failure or (None, None)
    return {
        "payout_id": str(claim.payout.pk),
        "held_by": str(claim.payout.lease_token),
        "attempt_id": claim.attempt_id,
        "from_status": claim.payout.status,
        "to_status": decision.target,
        "reason": decision.reason[: limits.MESSAGE_LENGTH_MAX],
        "due_in": decision.due_in_seconds,
        "provider_reference": decision.provider_reference or None,
        "failure_code": failure_code,
        "failure_message": failure_message,
        "was_not_sent": decision.was_not_sent,
        "outcome": found.outcome,
        "code": found.code,
        "message": found.message,
    }


# An answer counts if its attempt is there and is under way: see payouts/engine/results.py.
_ANSWERS: Final = """answer AS (
    SELECT answer.* FROM jsonb_to_recordset(%(answers)s::jsonb) AS answer(
        payout_id uuid, held_by uuid, attempt_id bigint, from_status text, to_status text, reason text, due_in float8,
        provider_reference text, failure_code text, failure_message text, was_not_sent boolean,
        outcome text, code text, message text
    )
    JOIN payouts_payoutattempt AS begun ON begun.id = answer.attempt_id AND begun.payout_id = answer.payout_id
        AND begun.lease_token = answer.held_by AND begun.finished_at IS NULL
)"""

_DUE: Final = "statement_timestamp() + make_interval(secs => {of}.due_in)"

_CHANGES: Final = {
    "lease_token": "NULL",
    "lease_expires_at": "NULL",
    "due_at": _DUE.format(of="wanted"),
    "provider_reference": "COALESCE(wanted.provider_reference, payout.provider_reference)",
    "failure_code": "COALESCE(wanted.failure_code, payout.failure_code)",
    "failure_message": "COALESCE(wanted.failure_message, payout.failure_message)",
    "first_sent_at": "CASE WHEN NOT wanted.was_not_sent THEN payout.first_sent_at END",
}


def _finished(*, of: str) -> str:
    return f""", finished AS (
        UPDATE payouts_payoutattempt AS attempt
        SET finished_at = statement_timestamp(), outcome = answer.outcome, code = answer.code, message = answer.message
        FROM answer JOIN {of} ON {of}.id = answer.payout_id
        WHERE attempt.id = answer.attempt_id
    )"""


def _record_plain(answers: Sequence[Mapping[str, Any]]) -> set[uuid.UUID]:
    """Record answers of payouts that are still under their leases, and return them. Others stay as they are."""
    recorded: set[uuid.UUID] = set()
    moves = [answer for answer in answers if answer["to_status"]]
    stays = [answer for answer in answers if not answer["to_status"]]
    with transaction.atomic(durable=True):
        if moves:
            wanted = f"{_ANSWERS}, wanted AS (SELECT * FROM answer)"
            parameters = {"answers": json.dumps(moves)}
            moved = transitions.move_many(
                wanted, parameters, actor=claims.ACTOR, changes=_CHANGES, also=_finished(of="moved")
            )
            recorded |= {payout.pk for payout in moved}
        if stays:
            recorded |= _reschedule_many(stays)
    return recorded


def _reschedule_many(answers: Sequence[Mapping[str, Any]]) -> set[uuid.UUID]:
    """Release the leases and set the times of the next questions."""
    statement = f"""
        WITH {_ANSWERS},
        stayed AS (
            UPDATE payouts_payout AS payout
            SET lease_token = NULL, lease_expires_at = NULL, due_at = {_DUE.format(of="answer")}
            FROM answer
            WHERE payout.id = answer.payout_id AND payout.status = answer.from_status
                AND payout.lease_token = answer.held_by
            RETURNING payout.id
        )
        {_finished(of="stayed")}
        SELECT id FROM stayed"""
    with connection.cursor() as cursor:
        cursor.execute(statement, {"answers": json.dumps(answers)})
        return {payout_id for (payout_id,) in cursor.fetchall()}


def record(claim: Claim, found: Evidence) -> None:
    """Record one answer, and change the status if the answer is evidence of another one.

    If the lease or the attempt was lost, the evidence is applied to the payout's current state.
    """
    with transaction.atomic(durable=True):
        if not results.complete(claim, found):
            late = results.append(claim, found)
            if late is not None:
                _apply_late_evidence(*late)
            return
        source = PayoutStatus(claim.payout.status)
        if _is_new_contradiction(claim, found):
            flag_contradiction(claim.payout, found)
        decision = decisions.decide(claim, found)
        mine = models.Q(lease_token=claim.payout.lease_token)
        if decision.target is None:
            recorded = _reschedule(claim.payout, mine, decision)
        else:
            recorded = _move(
                claim.payout,
                source,
                decision.target,
                actor=claims.ACTOR,
                reason=decision.reason,
                only_if=mine,
                **decision.columns,
            )
        if not recorded:
            _apply_late_evidence(claim, found)


def _is_new_contradiction(claim: Claim, found: Evidence) -> bool:
    """Tell whether the answer contradicts the status, and no operator has looked at the same evidence."""
    payout = claim.payout
    verdict = evidence.judge(PayoutStatus(payout.status), found.outcome)
    if decisions.proves_nothing(claim, found) or verdict is not Verdict.CONTRADICTS:
        return False
    return not contradictions.was_looked_at(
        payout, found, reference_number=payout.reference_number, attempt_id=claim.attempt_id
    )


def _reschedule(payout: Payout, mine: models.Q, decision: Decision) -> bool:
    """Release the lease and set the time of the next question."""
    return bool(
        Payout.objects.filter(mine, pk=payout.pk, status=payout.status).update(
            lease_token=None, lease_expires_at=None, due_at=decision.columns["due_at"]
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
    if _is_one_of_several_refused(claim, found) or (is_refused_send and payout.status == PayoutStatus.SUBMITTED):
        # The provider accepted the payout in another answer. We ask it later which answer holds.
        return
    verdict = apply(
        payout,
        found,
        reference_number=claim.payout.reference_number,
        attempt_id=claim.attempt_id,
        actor=claims.ACTOR,
        reason=f"late evidence: {found}",
    )
    logger.info("payout.evidence.late", extra={**_names(payout, found), "reading": verdict.value})


def apply(
    payout: Payout,
    found: Evidence,
    *,
    reference_number: int,
    actor: str,
    reason: str,
    attempt_id: int | None = None,
) -> Verdict:
    """Apply evidence about a reference to a payout that the caller's transaction has locked.

    Returns the verdict on the evidence.
    """
    status = PayoutStatus(payout.status)
    if found.is_for_operator and found.outcome == AttemptOutcome.UNKNOWN:
        return _apply_for_operator(payout, found, actor=actor, reason=reason)
    if reference_number == payout.reference_number:
        verdict = evidence.judge(status, found.outcome)
    else:
        verdict = evidence.judge_earlier_reference(found.outcome)
    if verdict is Verdict.CONTRADICTS and (
        _is_overtaken(payout, found, reference_number)
        or contradictions.was_looked_at(payout, found, reference_number=reference_number, attempt_id=attempt_id)
    ):
        verdict = Verdict.KNOWN
    target = evidence.target_of(found.outcome)
    if verdict is Verdict.ADVANCES and target is not None:
        decision = decisions.advance(target, found, payout, reason=reason)
        _move(payout, status, target, actor=actor, reason=reason, **decision.columns)
    elif verdict is Verdict.CONTRADICTS:
        flag_contradiction(payout, found)
    return verdict


def _apply_for_operator(payout: Payout, found: Evidence, *, actor: str, reason: str) -> Verdict:
    """Have an operator look at the payout: by its status, or if it is over by the flag."""
    status = PayoutStatus(payout.status)
    if evidence.needs_operator(status, found):
        _move(payout, status, PayoutStatus.REQUIRES_ATTENTION, actor=actor, reason=reason, due_at=None)
        return Verdict.ADVANCES
    if status == PayoutStatus.REQUIRES_ATTENTION:
        return Verdict.KNOWN
    flag_contradiction(payout, found)
    return Verdict.CONTRADICTS


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


def _is_one_of_several_refused(claim: Claim, found: Evidence) -> bool:
    """Tell the same of a send whose lease was lost: others may have been made since."""
    refused_send = claim.kind == AttemptKind.SEND and found.is_of_one_send
    return refused_send and claims.sends_maybe_arrived(claim.payout).exclude(pk=claim.attempt_id).exists()


def _names(payout: Payout, found: Evidence) -> dict[str, str]:
    return {"payout_id": str(payout.pk), "status": str(payout.status), "outcome": found.outcome.value}
