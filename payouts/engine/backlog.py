"""Counts of what waits, for the platform and for an operator. Figures for merchants are in payouts/summaries."""

from __future__ import annotations

from typing import Any, TypedDict

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from payouts.engine import admission
from payouts.models import Pause, Payout, ProviderCallback, ProviderCircuit
from payouts.states import PayoutStatus

# The limit of a count on a dashboard; above it the answer is "too many".
COUNT_MAX = 100_000


class Backlog(TypedDict):
    """What waits for the platform itself; counts stop at COUNT_MAX."""

    #: Due payouts that may be sent, and the age of the oldest in seconds.
    due: int
    overdue_seconds: float
    #: Payouts that a pause or a provider in trouble holds back.
    held: int
    #: Callbacks that are not applied yet.
    callbacks: int


class Alarms(TypedDict):
    """What waits for an operator; counts stop at COUNT_MAX."""

    requires_attention: int
    contradicted: int
    pauses: int
    #: Whether the circuit is open, for each provider that was ever in trouble.
    circuits: dict[str, bool]


def backlog() -> Backlog:
    """Return what waits. The queries use partial indexes of waiting rows."""
    due = Payout.objects.due().exclude(admission.is_held())
    oldest = due.order_by("due_at").annotate(overdue=Now() - F("due_at")).values_list("overdue", flat=True).first()
    return {
        "due": _count(due),
        "overdue_seconds": oldest.total_seconds() if oldest else 0.0,
        "held": _count(Payout.objects.due().filter(admission.is_held())),
        "callbacks": _count(ProviderCallback.objects.filter(applied_at__isnull=True)),
    }


def alarms() -> Alarms:
    """Return what waits for an operator. The query uses its partial index."""
    for_operator = Payout.objects.for_operator()
    return {
        "requires_attention": _count(for_operator.filter(status=PayoutStatus.REQUIRES_ATTENTION)),
        "contradicted": _count(for_operator.filter(contradicted_at__isnull=False)),
        "pauses": _count(Pause.objects.active()),
        "circuits": {circuit.provider: circuit.opened_at is not None for circuit in ProviderCircuit.objects.all()},
    }


def _count(rows: QuerySet[Any]) -> int:
    return rows.order_by()[:COUNT_MAX].count()
