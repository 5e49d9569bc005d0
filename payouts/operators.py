"""Actions of operators. Each function is one transaction, and keeps who did it and why permanently.

The reason should name the evidence, such as a line of the bank's statement. The merchant can read it in the history.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from django.db import models, transaction
from django.db.models.functions import Now

from payouts import attempts, dispatch, errors, states, transitions
from payouts.engine import banks, claims
from payouts.models import Payout
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus

#: Our own reason for `failed`: an operator knows that no money moved.
RESOLVED: Final = "resolved_by_operator"

#: Prefix of operators in the history.
ACTOR_PREFIX: Final = "operator:"

_RETRYABLE: Final = (PayoutStatus.FAILED, PayoutStatus.REQUIRES_ATTENTION)
_OUTCOME_OF_RESOLUTION: Final = {
    PayoutStatus.PAID: AttemptOutcome.PAID,
    PayoutStatus.FAILED: AttemptOutcome.REJECTED,
}


def retry_payout(payout: Payout, *, actor: str, reason: str) -> Payout:
    """Have a payout that failed or requires attention sent again, and return it, pending.

    The payout keeps its reference, so a provider that executed it after all, and still knows it, does not pay twice.
    A failed payout gets a new reference only if the provider refused it for good, remembers no reference for long
    enough to protect, or was another bank then.
    Raises ReasonMissing, ReasonUnusable, PayoutNotRetryable, PayoutContradicted, PayoutDeletedByMerchant, PayoutInHand,
    PayoutShownPaid if the provider has reported the payout as paid, and WindowOver if an earlier send is older than the
    provider remembers.
    """
    reason = attempts.clean_reason(reason)
    with transaction.atomic(savepoint=False):
        current = _lock(payout)
        if current.deleted_at is not None:
            raise errors.PayoutDeletedByMerchant
        if current.status not in _RETRYABLE:
            raise errors.of_payout(errors.PayoutNotRetryable, current)
        if current.contradicted_at is not None:
            raise errors.PayoutContradicted
        if _is_shown_paid(current):
            raise errors.PayoutShownPaid
        _refuse_in_hand(current)
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


def resolve_payout(payout: Payout, *, target: PayoutStatus, actor: str, reason: str) -> Payout:
    """Resolve a payout by hand: it becomes `paid` or `failed`, and the flag is cleared.

    This is for a payout that requires attention, and for one whose status is contradicted: a pending one, which is then
    not sent, or a failed one that was paid after all.
    Raises ReasonMissing, ReasonUnusable, PayoutInHand, and PayoutNotInAttention for any other payout.
    """
    reason = attempts.clean_reason(reason)
    failure: dict[str, Any] = {"failure_code": RESOLVED if target == PayoutStatus.FAILED else ""}
    with transaction.atomic(savepoint=False):
        current = _lock(payout)
        path = path_of_resolution(current, target)
        if not path:
            raise errors.of_payout(errors.PayoutNotInAttention, current)
        _refuse_in_hand(current)
        outcome = _OUTCOME_OF_RESOLUTION[target]
        attempts.record(current, kind=AttemptKind.OPERATOR, outcome=outcome, actor=actor, message=reason)
        for source, following in pairwise((PayoutStatus(current.status), *path)):
            transitions.move(current.pk, source=source, target=following, actor=actor, reason=reason)
        changes = {"due_at": None, "contradicted_at": None, "failure_message": "", **failure}
        Payout.objects.filter(pk=current.pk).update(**changes)
        return Payout.objects.get(pk=current.pk)


def path_of_resolution(payout: Payout, target: PayoutStatus) -> tuple[PayoutStatus, ...]:
    """Return the statuses through which an operator may resolve this payout; empty if that is not allowed."""
    is_contradicted = payout.contradicted_at is not None
    if payout.status == PayoutStatus.REQUIRES_ATTENTION:
        return (target,)
    if payout.status == PayoutStatus.PENDING and is_contradicted:
        return (PayoutStatus.PROCESSING, target)
    if payout.status == PayoutStatus.FAILED and is_contradicted and target == PayoutStatus.PAID:
        return (PayoutStatus.PENDING, PayoutStatus.PROCESSING, target)
    return ()


def ask_about_payout(payout: Payout, *, actor: str, reason: str) -> Payout:
    """Have the provider asked now what became of a payout, and return it. Moves no money.

    Raises ReasonMissing, ReasonUnusable and PayoutNotAskable.
    """
    reason = attempts.clean_reason(reason)
    with transaction.atomic(savepoint=False):
        current = _lock(payout)
        if current.status not in states.ASKABLE or current.lease_token is not None:
            raise errors.of_payout(errors.PayoutNotAskable, current)
        attempts.record(current, kind=AttemptKind.OPERATOR, outcome=AttemptOutcome.ASKED, actor=actor, message=reason)
        Payout.objects.filter(pk=current.pk).update(due_at=Now())
        transaction.on_commit(lambda: dispatch.enqueue_payout(current.pk), robust=True)
        return Payout.objects.get(pk=current.pk)


def acknowledge_contradiction(payout: Payout, *, actor: str, reason: str) -> Payout:
    """Clear the flag of a payout whose status was contradicted, and return it. The status stays.

    Raises ReasonMissing, ReasonUnusable, PayoutNotContradicted, and PayoutShownPaid for a pending payout that the
    provider has reported as paid.
    """
    reason = attempts.clean_reason(reason)
    with transaction.atomic(savepoint=False):
        current = _lock(payout)
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


def _refuse_in_hand(payout: Payout) -> None:
    if payout.lease_token is not None:
        raise errors.PayoutInHand


def _lock(payout: Payout) -> Payout:
    """Lock the payout until the transaction ends, and return its current state."""
    return Payout.objects.select_for_update().get(pk=payout.pk)
