"""The total of a selection. No list needs the total, so it is counted on request, for a short time."""

from __future__ import annotations

from typing import Final

from django.db import connections, transaction
from django.db.models import QuerySet

from payouts.models import Payout
from postgres import plans

#: A reader prefers a fast page to a total, and counting for every page would overload the database. The time is enough
#: for about a million payouts.
COUNTING_MS_MAX: Final = 250


def count(payouts: QuerySet[Payout]) -> int | None:
    """Return the number of payouts, or None if PostgreSQL cannot count them within COUNTING_MS_MAX."""
    using = payouts.db
    try:
        with transaction.atomic(using=using), plans.unprepared(using):
            _limit(str(COUNTING_MS_MAX), using)
            total = payouts.order_by().count()
            # In a transaction of the caller the limit would outlive the count.
            _limit("DEFAULT", using)
    except plans.StatementTimedOut:
        return None
    return total


def _limit(milliseconds: str, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {milliseconds}")
