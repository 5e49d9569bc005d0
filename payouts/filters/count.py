"""How many payouts a selection has. A list never needs it, so it is counted on request and for a short time only."""

from __future__ import annotations

from typing import Final

from django.db import connections, transaction
from django.db.models import QuerySet

from payouts.models import Payout
from postgres import plans

#: Milliseconds. Whoever looks at a page would rather have it than its length, and a database that counts for everybody
#: does nothing else. It is enough for about a million payouts.
COUNTING_MS_MAX: Final = 250


def count(payouts: QuerySet[Payout]) -> int | None:
    """Return how many payouts the query selects, or None where PostgreSQL cannot tell within COUNTING_MS_MAX."""
    using = payouts.db
    try:
        with transaction.atomic(using=using), plans.unprepared(using):
            _limit(str(COUNTING_MS_MAX), using)
            total = payouts.order_by().count()
            # Where the transaction is the caller's, the limit would outlive the count.
            _limit("DEFAULT", using)
    except plans.StatementTimedOut:
        return None
    return total


def _limit(milliseconds: str, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = {milliseconds}")
