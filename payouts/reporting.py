"""Read-only sums. They take the same filtered queryset as the list, so that list and sums cannot disagree."""

from __future__ import annotations

from decimal import Decimal
from typing import TypedDict

from django.db.models import Count, F, QuerySet, Sum
from django.db.models.functions import Now

from payouts import money
from payouts.models import Payout

# A figure on a dashboard; beyond it the answer is "too many" anyway.
BACKLOG_COUNT_MAX = 100_000


class SummaryRow(TypedDict):
    """Count and sum of the payouts with one status and one currency. Amounts are never summed across currencies."""

    status: str
    currency: str
    count: int
    amount: str


def summarize(payouts: QuerySet[Payout]) -> list[SummaryRow]:
    """Return a row for each pair of status and currency that occurs, ordered by both."""
    rows = (
        payouts.order_by("status", "currency")
        .values_list("status", "currency")
        .annotate(Count("id"), Sum("amount", default=Decimal(0)))
    )
    return [
        {"status": status, "currency": currency, "count": count, "amount": money.format_amount(amount, currency)}
        for status, currency, count, amount in rows
    ]


class Backlog(TypedDict):
    """How many payouts are due, counted up to BACKLOG_COUNT_MAX, and the seconds since the oldest became so."""

    due: int
    overdue_seconds: float


def backlog() -> Backlog:
    """Return what is waiting, from the index of due payouts alone."""
    due = Payout.objects.due()
    oldest = due.order_by("due_at").annotate(overdue=Now() - F("due_at")).values_list("overdue", flat=True).first()
    count = due.order_by()[:BACKLOG_COUNT_MAX].count()
    return {"due": count, "overdue_seconds": oldest.total_seconds() if oldest else 0.0}
