"""Counts of what waits, for the platform and for an operator. Figures for merchants are in payouts/summaries."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypedDict

from django.db.models import Expression, F, QuerySet
from django.db.models.functions import Now

from payouts.engine import lane_figures, patience
from payouts.models import LaneCircuit, Pause, Payout, ProviderCallback, ProviderCircuit
from payouts.states import PayoutStatus

# The limit of a count on a dashboard; above it the answer is "too many". Counting so many takes milliseconds.
COUNT_MAX = 10_000


class Backlog(TypedDict):
    """What waits for the platform itself; counts stop at COUNT_MAX."""

    #: Due payouts that may be sent, and the age of the oldest in seconds.
    due: int
    overdue_seconds: float
    #: Payouts that a pause, an open circuit, or a contradiction holds back.
    held: int
    #: Callbacks that are not applied yet.
    callbacks: int


class Alarms(TypedDict):
    """What waits for an operator; counts stop at COUNT_MAX."""

    requires_attention: int
    contradicted: int
    #: Payouts that may have been sent, and the age of the oldest in seconds.
    unknown: int
    unknown_seconds: float
    #: Payouts whose provider should have named the outcome by now, and the age of the oldest in seconds.
    submitted_late: int
    submitted_late_seconds: float
    #: Callbacks that no payout explains, and the age of the oldest in seconds.
    callbacks_unexplained: int
    callbacks_unexplained_seconds: float
    pauses: int
    #: Whether the circuit is open, for each provider that was ever in trouble.
    circuits: dict[str, bool]
    #: Merchants that are held for failures of their own, for each of these providers.
    lanes_held: dict[str, int]


def backlog() -> Backlog:
    """Return what waits. The queries use partial indexes of waiting rows, and pass over what is held by its lane."""
    figures = lane_figures.read(at_most=COUNT_MAX)
    reviewed = Payout.objects.due().filter(status=PayoutStatus.PENDING, contradicted_at__isnull=False)
    return {
        "due": figures.free,
        "overdue_seconds": figures.overdue_seconds,
        "held": min(COUNT_MAX, figures.held + _count(reviewed)),
        "callbacks": _count(ProviderCallback.objects.filter(applied_at__isnull=True)),
    }


def alarms() -> Alarms:
    """Return what waits for an operator. Each query uses a partial index."""
    for_operator = Payout.objects.for_operator()
    unknown, late = patience.unknown(), patience.overdue_submitted()
    unexplained = ProviderCallback.objects.alarming()
    circuits = {circuit.provider: circuit.opened_at is not None for circuit in ProviderCircuit.objects.all()}
    lanes_held = Counter(LaneCircuit.objects.filter(opened_at__isnull=False).values_list("provider", flat=True))
    return {
        "requires_attention": _count(for_operator.filter(status=PayoutStatus.REQUIRES_ATTENTION)),
        "contradicted": _count(for_operator.filter(contradicted_at__isnull=False)),
        "unknown": _count(unknown),
        "unknown_seconds": _age_seconds(unknown, "first_sent_at"),
        "submitted_late": _count(late),
        "submitted_late_seconds": _age_seconds(late, "first_sent_at"),
        "callbacks_unexplained": _count(unexplained),
        "callbacks_unexplained_seconds": _age_seconds(unexplained, "alarmed_at"),
        "pauses": _count(Pause.objects.active()),
        "circuits": circuits,
        "lanes_held": {provider: lanes_held[provider] for provider in circuits},
    }


def _age_seconds(rows: QuerySet[Any], since: str) -> float:
    """Return for how long the oldest row waits by this column; 0 if there is none."""
    age: Expression = Now() - F(since)
    oldest = rows.filter(**{f"{since}__isnull": False}).order_by(since).annotate(age=age)
    found = oldest.values_list("age", flat=True).first()
    return float(found.total_seconds()) if found is not None else 0.0


def _count(rows: QuerySet[Any]) -> int:
    return rows.order_by()[:COUNT_MAX].count()
