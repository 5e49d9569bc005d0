"""Payouts whose provider this installation does not have any more: the clocks go on without it.

A process that lacks the provider for a moment, as during a rollout, does no harm: nothing is given up before its clock
has run out, and a worker that has the provider wins or loses the same conditional UPDATE.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db import models, transaction
from django.db.models.functions import Coalesce, Now

from payouts import transitions
from payouts.engine import admission, claims, outcomes, patience, retries
from payouts.models import Payout, PayoutAttempt, PayoutQuerySet
from payouts.states import AttemptKind, PayoutStatus

#: Payouts of one kind and round: as many as the sweeper takes at once.
BATCH: Final = 100

#: Due payouts of a status that a round looks at, longest due first. Orphans are due for longer than any others, so they
#: are among these, and a long queue costs a round no more than a short one.
LOOKED_AT_MAX: Final = 1000

_LATE: Final = "the provider is gone and did not say in time how it ended"
_UNSENT: Final = "the provider is gone, and the payout was never sent"
_MAYBE_SENT: Final = "the provider is gone, and the payout may have been sent before"


def give_up() -> int:
    """Take the payouts without a provider whose clock has run out one step further, and return how many.

    1. Unknown for a day, or accepted for longer than a provider needs: they require attention.
    2. Pending for a day: they fail if they were never sent, and are unknown otherwise.
    3. What only waits for the next question waits on.
    """
    given_up = sum(_move(payout, PayoutStatus.REQUIRES_ATTENTION, _LATE, _ask_later()) for payout in _late())
    given_up += sum(_give_up_pending(payout) for payout in _pending()[:BATCH])
    _postpone_questions()
    return given_up


def _late() -> list[Payout]:
    """Select by the partial indexes of what is unknown and submitted."""
    unknown = patience.unknown().filter(first_sent_at__lte=_ago(retries.UNKNOWN_GIVE_UP_SECONDS))
    return [
        *unknown.filter(patience.missing_provider()).order_by("first_sent_at")[:BATCH],
        *patience.overdue_submitted().filter(patience.missing_provider()).order_by("first_sent_at")[:BATCH],
    ]


def _pending() -> PayoutQuerySet:
    """Select the pending payouts that nothing else holds, and that are waiting since a day.

    The day begins with the last act of an operator, or with the creation of the payout.
    """
    attempts = PayoutAttempt.objects.filter(payout=models.OuterRef("pk")).order_by("-number")
    acts = attempts.filter(kind=AttemptKind.OPERATOR).values("finished_at")[:1]
    waiting = _longest_due(~admission.is_held(), status=PayoutStatus.PENDING).order_by("due_at")
    since = Coalesce(models.Subquery(acts), "created_at")
    return waiting.annotate(since=since).filter(since__lte=_ago(retries.NOT_SENT_GIVE_UP_SECONDS))


def _give_up_pending(payout: Payout) -> bool:
    if claims.sends_maybe_arrived(payout).exists():
        return _end_pending(payout, PayoutStatus.UNKNOWN, _MAYBE_SENT, {"due_at": Now()})
    failure = {"failure_code": outcomes.PROVIDER_UNAVAILABLE, "failure_message": ""}
    return _end_pending(payout, PayoutStatus.FAILED, _UNSENT, {"due_at": None, **failure})


def _end_pending(payout: Payout, target: PayoutStatus, reason: str, changes: dict[str, Any]) -> bool:
    """Change the status by way of `processing`. No lease is taken: nothing is sent."""
    with transaction.atomic():
        if not _move(payout, PayoutStatus.PROCESSING, reason, {}):
            return False
        payout.status = PayoutStatus.PROCESSING
        return _move(payout, target, reason, changes)


def _postpone_questions() -> None:
    """Keep what can only be asked about out of the due payouts, until the provider may be back."""
    asked_later = _longest_due(status=PayoutStatus.REQUIRES_ATTENTION, lease_token__isnull=True)
    asked_later.update(due_at=_ask_later()["due_at"])
    over = patience.entered_before(PayoutStatus.PAID, seconds=retries.PAID_GIVE_UP_SECONDS)
    _longest_due(status=PayoutStatus.PAID, lease_token__isnull=True).filter(over).update(due_at=None)


def _move(payout: Payout, target: PayoutStatus, reason: str, changes: dict[str, Any]) -> bool:
    """Change the status, unless a worker that has the provider holds the payout."""
    moved = transitions.move(
        payout.pk,
        source=PayoutStatus(payout.status),
        target=target,
        actor=claims.ACTOR,
        reason=reason,
        only_if=models.Q(lease_token__isnull=True),
        **changes,
    )
    return moved is not None


def _longest_due(*conditions: models.Q, **columns: Any) -> PayoutQuerySet:
    """Select the payouts without a provider among those that are due for longest."""
    oldest = Payout.objects.due().filter(*conditions, **columns).order_by("due_at").values("pk")[:LOOKED_AT_MAX]
    return Payout.objects.filter(patience.missing_provider(), pk__in=oldest, **columns)


def _ask_later() -> dict[str, Any]:
    return {"due_at": Now() + timedelta(seconds=retries.ATTENTION_ASK_SECONDS)}


def _ago(seconds: float) -> Any:
    return Now() - timedelta(seconds=seconds)
