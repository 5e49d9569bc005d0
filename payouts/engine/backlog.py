"""Figures of what waits: for the platform, and for an operator. Merchants ask summaries/summarize.py."""

from __future__ import annotations

from typing import Any, TypedDict

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from payouts.engine import admission
from payouts.models import Pause, Payout, ProviderCallback, ProviderCircuit
from payouts.states import PayoutStatus

# A figure on a dashboard; beyond it the answer is "too many" anyway.
COUNT_MAX = 100_000


class Backlog(TypedDict):
    """What waits for the platform itself; counts stop at COUNT_MAX."""

    #: Payouts that are due and may go, and the seconds since the oldest became due.
    due: int
    overdue_seconds: float
    #: Payouts that would be sent, were it not for a pause or a provider in trouble.
    held: int
    #: Callbacks that nobody has applied.
    callbacks: int


class Alarms(TypedDict):
    """What waits for an operator; counts stop at COUNT_MAX."""

    requires_attention: int
    contradicted: int
    pauses: int
    #: Of each provider that has ever been in trouble: whether its circuit is open.
    circuits: dict[str, bool]


def backlog() -> Backlog:
    """Return what is waiting, from indexes of what waits alone."""
    due = Payout.objects.due().exclude(admission.is_held())
    oldest = due.order_by("due_at").annotate(overdue=Now() - F("due_at")).values_list("overdue", flat=True).first()
    return {
        "due": _count(due),
        "overdue_seconds": oldest.total_seconds() if oldest else 0.0,
        "held": _count(Payout.objects.due().filter(admission.is_held())),
        "callbacks": _count(ProviderCallback.objects.filter(applied_at__isnull=True)),
    }


def alarms() -> Alarms:
    """Return what waits for an operator, from the index of it."""
    for_operator = Payout.objects.for_operator()
    return {
        "requires_attention": _count(for_operator.filter(status=PayoutStatus.REQUIRES_ATTENTION)),
        "contradicted": _count(for_operator.filter(contradicted_at__isnull=False)),
        "pauses": _count(Pause.objects.active()),
        "circuits": {circuit.provider: circuit.opened_at is not None for circuit in ProviderCircuit.objects.all()},
    }


def _count(rows: QuerySet[Any]) -> int:
    return rows.order_by()[:COUNT_MAX].count()
