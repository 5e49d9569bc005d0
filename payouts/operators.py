"""Actions of operators. Each function is one transaction, and keeps who did it and why permanently.

The reason should name the evidence, such as a line of the bank's statement. The merchant can read it in the history.
"""

from __future__ import annotations

import uuid
from itertools import pairwise
from typing import Final

from django.db import models, transaction
from django.db.models.functions import Now

from payouts import attempts, dispatch, errors, states, transitions
from payouts.engine import banks, claims, deadlines, leases, patience
from payouts.models import Payout, ProviderCallback
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus

#: Our own reason for `failed` and `returned`: an operator knows what became of the money.
RESOLVED: Final = "resolved_by_operator"

#: Prefix of operators in the history.
ACTOR_PREFIX: Final = "operator:"

_RETRYABLE: Final = (PayoutStatus.FAILED, PayoutStatus.REQUIRES_ATTENTION)
_OUTCOME_OF_RESOLUTION: Final = {
    PayoutStatus.PAID: AttemptOutcome.PAID,
    PayoutStatus.FAILED: AttemptOutcome.REJECTED,
    PayoutStatus.RETURNED: AttemptOutcome.RETURNED,
}


def retry_payout(payout: Payout, *, actor: str, reason: str) -> Payout:
    """Have a payout that failed or requires attention sent again, and return it, pending.

    The payout keeps its reference, so a provider that executed it after all, and still knows it, does not pay twice.
    A failed payout gets a new reference only if the provider refused it for good, remembers no reference for long
    enough to protect, or was another bank then.
    Raises ReasonMissing, ReasonUnusable, PayoutNotRetryable, PayoutContradicted, PayoutDeletedByMerchant, PayoutInHand,
    PayoutShownPaid if the provider has reported the payout as paid, PayoutExpired for a failed payout past the
    merchant's expires_at, ProviderGone, and WindowOver if an earlier send is
    older than the provider remembers.
    """
    reason = attempts.clean_reason(reason)
    with transaction.atomic(savepoint=False):
        current = _lock(payout.pk)
        if current.deleted_at is not None:
            raise errors.PayoutDeletedByMerchant
        if current.status not in _RETRYABLE:
            raise errors.of_payout(errors.PayoutNotRetryable, current)
        if current.contradicted_at is not None:
            raise errors.PayoutContradicted
        if _is_shown_paid(current):
            raise errors.PayoutShownPaid
        if current.status == PayoutStatus.FAILED and deadlines.is_expired(current):
            raise errors.PayoutExpired
        _refuse_in_hand(current)
        _refuse_without_provider(current)
        if current.status == PayoutStatus.REQUIRES_ATTENTION and not claims.may_send_again(current):
            raise errors.WindowOver
        attempts.record(current, kind=AttemptKind.OPERATOR, outcome=AttemptOutcome.RETRIED, actor=actor, message=reason)
        retried = transitions.move(
            current.pk,
            source=PayoutStatus(current.status),
            target=PayoutStatus.PENDING,
            actor=actor,
            reason=reason,
            due_at=Now(),
            give_up_at=deadlines.first(current.expires_at),
            # A failed payout is evidence that nothing moved: the provider's window restarts. If that is not known, the
            # window runs on from the first send.
            first_sent_at=None if current.status == PayoutStatus.FAILED else current.first_sent_at,
            failure_code="",
            failure_message="",
            reference_number=models.F("reference_number") + (1 if _needs_new_reference(current) else 0),
        )
        assert retried is not None  # The row is locked.
        transaction.on_commit(lambda: dispatch.enqueue_payout(current.pk), robust=True)
        return retried


def _needs_new_reference(payout: Payout) -> bool:
    """Tell whether the reference is of no use: refused for good, not remembered for long enough, or of another bank."""
    if payout.status != PayoutStatus.FAILED:
        return False
    return _was_refused(payout) or not claims.may_keep_reference(payout) or bool(banks.sent_elsewhere([payout]))


def _was_refused(payout: Payout) -> bool:
    """Tell whether the provider refused the payout, rather than an operator or failed connections."""
    failed = payout.transitions.filter(to_status=PayoutStatus.FAILED).order_by("-id")
    refused = payout.attempts.exclude(kind=AttemptKind.OPERATOR).filter(
        outcome=AttemptOutcome.REJECTED, reference_number=payout.reference_number
    )
    return not failed[0].actor.startswith(ACTOR_PREFIX) and refused.exists()


def resolve_payout(payout: Payout, *, target: PayoutStatus, actor: str, reason: str, evidence: str = "") -> Payout:
    """Record what became of the money: the payout becomes `paid`, `failed` or `returned`, and the flag is cleared.

    Evidence decides whether that is allowed: what the provider said stays on record after it is acknowledged. For any
    other payout the operator names the evidence, such as a line of the bank's statement. A payout that requires
    attention, is contradicted, or whose provider is gone needs the reason alone. A payout that the merchant deleted is
    listed again if money moved.
    Raises ReasonMissing, ReasonUnusable, PayoutInHand, and PayoutNotInAttention if there is no way to this status or no
    evidence.
    """
    stated, outcome = _stated(reason, evidence), _OUTCOME_OF_RESOLUTION[target]
    with transaction.atomic(savepoint=False):
        current = _lock(payout.pk)
        path = states.path_of_resolution(current.status, target)
        if not path or not (evidence.strip() or has_evidence(current, target)):
            raise errors.of_payout(errors.PayoutNotInAttention, current)
        _refuse_in_hand(current)
        attempts.record(current, kind=AttemptKind.OPERATOR, outcome=outcome, actor=actor, message=stated)
        for source, following in pairwise((PayoutStatus(current.status), *path)):
            transitions.move(current.pk, source=source, target=following, actor=actor, reason=stated)
        failure_code = "" if target == PayoutStatus.PAID else RESOLVED
        changes = {"due_at": None, "contradicted_at": None, "failure_code": failure_code, "failure_message": ""}
        Payout.objects.filter(pk=current.pk).update(**changes)
        return Payout.objects.get(pk=current.pk)


def _stated(reason: str, evidence: str) -> str:
    """Return reason and evidence in the form in which they are kept."""
    reason = attempts.clean_reason(reason)
    if not evidence.strip():
        return reason
    return attempts.clean_reason(f"{reason} (evidence: {attempts.clean_reason(evidence)})")


def has_evidence(payout: Payout, target: PayoutStatus) -> bool:
    """Tell whether an operator may resolve the payout so without naming more evidence."""
    is_for_operator = payout.status == PayoutStatus.REQUIRES_ATTENTION or payout.contradicted_at is not None
    if is_for_operator or not patience.has_provider(payout.provider):
        return True
    if target == PayoutStatus.PAID:
        return _is_shown_paid(payout)
    said = payout.attempts.exclude(kind=AttemptKind.OPERATOR).filter(reference_number=payout.reference_number)
    return target == PayoutStatus.RETURNED and said.filter(outcome=AttemptOutcome.RETURNED).exists()


def may_be_resolved(payout: Payout, target: PayoutStatus) -> bool:
    """Tell whether the admin offers to resolve the payout so.

    A pending payout without evidence is about to be sent, so the admin does not offer it.
    """
    status = leases.status_without_ended(payout)
    if status is None or not states.path_of_resolution(status, target):
        return False
    return payout.status != PayoutStatus.PENDING or has_evidence(payout, target)


def ask_about_payout(payout: Payout, *, actor: str, reason: str) -> Payout:
    """Have the provider asked now what became of a payout, and return it. Moves no money.

    Raises ReasonMissing, ReasonUnusable, PayoutNotAskable, and ProviderGone if the provider is not configured.
    """
    with transaction.atomic(savepoint=False):
        _mark_asked(payout.pk, actor=actor, reason=attempts.clean_reason(reason))
        transaction.on_commit(lambda: dispatch.enqueue_payout(payout.pk), robust=True)
        return Payout.objects.get(pk=payout.pk)


def _mark_asked(payout_id: uuid.UUID, *, actor: str, reason: str) -> None:
    """Let the next question be due now, with the operator's act on record."""
    current = _lock(payout_id)
    if current.status not in states.ASKABLE or leases.is_held(current):
        raise errors.of_payout(errors.PayoutNotAskable, current)
    _refuse_without_provider(current)
    attempts.record(current, kind=AttemptKind.OPERATOR, outcome=AttemptOutcome.ASKED, actor=actor, message=reason)
    Payout.objects.filter(pk=current.pk).update(due_at=Now())


def ask_about_all(*, actor: str, reason: str) -> tuple[int, int]:
    """Have the provider asked about each payout that is unknown or requires attention.

    Returns the number of payouts that are asked about, and of those that cannot be: a worker asks about them at this
    moment, or their provider is gone. Each payout is a transaction of its own. The sweeper enqueues them, a batch at a
    time. Raises ReasonMissing and ReasonUnusable.
    """
    reason = attempts.clean_reason(reason)
    open_ended = Payout.objects.filter(status__in=(PayoutStatus.UNKNOWN, PayoutStatus.REQUIRES_ATTENTION))
    asked = refused = 0
    for payout_id in list(open_ended.order_by("id").values_list("pk", flat=True)):
        try:
            with transaction.atomic():
                _mark_asked(payout_id, actor=actor, reason=reason)
        except (errors.PayoutNotAskable, errors.ProviderGone):
            refused += 1
        else:
            asked += 1
    return asked, refused


def acknowledge_contradiction(payout: Payout, *, actor: str, reason: str) -> Payout:
    """Clear the flag of a payout whose status was contradicted, and return it. The status stays.

    Raises ReasonMissing, ReasonUnusable, PayoutNotContradicted, and PayoutShownPaid for a pending payout that the
    provider has reported as paid.
    """
    reason = attempts.clean_reason(reason)
    with transaction.atomic(savepoint=False):
        current = _lock(payout.pk)
        if current.contradicted_at is None:
            raise errors.PayoutNotContradicted
        if current.status == PayoutStatus.PENDING and _is_shown_paid(current):
            # Without the flag it would be sent.
            raise errors.PayoutShownPaid
        attempts.record(
            current, kind=AttemptKind.OPERATOR, outcome=AttemptOutcome.ACKNOWLEDGED, actor=actor, message=reason
        )
        Payout.objects.filter(pk=current.pk).update(contradicted_at=None)
        return Payout.objects.get(pk=current.pk)


def _is_shown_paid(payout: Payout) -> bool:
    """Tell whether the provider reported any reference as paid, and not as returned."""
    said = payout.attempts.exclude(kind=AttemptKind.OPERATOR)
    paid = said.filter(outcome=AttemptOutcome.PAID).values_list("reference_number", flat=True)
    returned = said.filter(outcome=AttemptOutcome.RETURNED).values_list("reference_number", flat=True)
    return bool(set(paid) - set(returned))


def clear_callback(callback: ProviderCallback, *, actor: str, reason: str) -> ProviderCallback:
    """Clear the alarm of a callback that no payout explains, once an operator knows what it was, and return it.

    Raises ReasonMissing, ReasonUnusable, and CallbackNotAlarming if another operator was faster.
    """
    reason = attempts.clean_reason(reason)
    with transaction.atomic(savepoint=False):
        alarming = ProviderCallback.objects.alarming().filter(pk=callback.pk)
        if not alarming.update(alarmed_at=None, cleared_at=Now(), cleared_by=actor, cleared_reason=reason):
            raise errors.CallbackNotAlarming
        return ProviderCallback.objects.get(pk=callback.pk)


def _refuse_without_provider(payout: Payout) -> None:
    if not patience.has_provider(payout.provider):
        raise errors.ProviderGone


def _refuse_in_hand(payout: Payout) -> None:
    if leases.is_held(payout):
        raise errors.PayoutInHand


def _lock(payout_id: uuid.UUID) -> Payout:
    """Lock the payout until the transaction ends, and return its current state.

    A lease that has ended holds up no operator: it is ended here by the rule of the sweeper.
    """
    current = Payout.objects.select_for_update().get(pk=payout_id)
    return Payout.objects.get(pk=payout_id) if leases.end(current) else current
