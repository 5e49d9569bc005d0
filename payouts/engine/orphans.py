"""Payouts whose provider this installation does not have any more: the clocks go on without it.

A process may lack a provider that others have: during a rollout, or because its settings are wrong. Those would have
asked long ago about a payout whose question is due. So nothing is done about a payout before its question has been due,
and not asked, for a day. (What is pending has the same clock with a provider and without: engine/deadlines.py.)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django.db import models, transaction
from django.db.models.functions import Now

from payouts import transitions
from payouts.engine import lanes, leases, patience, retries
from payouts.models import Payout, PayoutQuerySet
from payouts.states import PayoutStatus
from postgres import rows

#: Payouts of one kind and round: as many as the sweeper takes at once.
BATCH: Final = 100

#: Due payouts of a status that a round looks at: a long queue costs a round no more than a short one.
LOOKED_AT_MAX: Final = 1000

_LATE: Final = "the provider is gone and did not say in time how it ended"

#: How long a question has to be due. Workers that have the provider ask within seconds, or within minutes after an
#: outage.
NOT_ASKED_SECONDS: Final = 24 * 3600.0


def give_up() -> int:
    """Take the payouts without a provider whose clock has run out one step further, and return how many.

    1. Unknown for a day, or accepted for longer than a provider needs: they require attention.
    2. What only waits for the next question waits on.
    """
    if not lanes.missing_providers():
        return 0
    given_up = sum(rows.each(_call_operator, _late(), "payout"))
    _postpone_questions()
    return given_up


def _late() -> list[Payout]:
    """Select by the partial indexes of what is unknown and submitted."""
    unknown = patience.unknown().filter(first_sent_at__lte=_ago(retries.UNKNOWN_GIVE_UP_SECONDS))
    both = (unknown, patience.overdue_submitted())
    orphaned = [
        payouts.filter(patience.missing_provider(), due_at__lte=_ago(NOT_ASKED_SECONDS)).order_by("first_sent_at")
        for payouts in both
    ]
    return [payout for payouts in orphaned for payout in payouts[:BATCH]]


def _postpone_questions() -> None:
    """Keep what can only be asked about out of the due payouts, until the provider may be back."""
    rows.update(_longest_due(status=PayoutStatus.REQUIRES_ATTENTION), "payout", **_ask_later())
    over = patience.entered_before(PayoutStatus.PAID, seconds=retries.PAID_GIVE_UP_SECONDS)
    rows.update(_longest_due(status=PayoutStatus.PAID).filter(over), "payout", due_at=None)


def _call_operator(payout: Payout) -> bool:
    """Change the status, unless a worker that has the provider holds the payout."""
    with transaction.atomic():
        moved = transitions.move(
            payout.pk,
            source=PayoutStatus(payout.status),
            target=PayoutStatus.REQUIRES_ATTENTION,
            actor=leases.ACTOR,
            reason=_LATE,
            only_if=models.Q(lease_token__isnull=True) | leases.ended(),
            **_ask_later(),
        )
    return moved is not None


def _longest_due(*, status: PayoutStatus) -> PayoutQuerySet:
    """Select payouts without a provider that have been due for long, by the lanes of their providers."""
    missing = lanes.missing_providers()
    waiting = Payout.objects.filter(provider__in=missing, status=status, due_at__lte=_ago(NOT_ASKED_SECONDS))
    return Payout.objects.filter(pk__in=waiting.values("pk")[:LOOKED_AT_MAX], status=status)


def _ask_later() -> dict[str, Any]:
    return {"due_at": Now() + timedelta(seconds=retries.ATTENTION_ASK_SECONDS)}


def _ago(seconds: float) -> Any:
    return Now() - timedelta(seconds=seconds)
