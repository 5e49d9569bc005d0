"""The roll-up in tests: days closed as the sweeper closes them, sums by plain Python, and others at work meanwhile."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.http import QueryDict

from accounts.models import MerchantAPIKey
from payouts import money
from payouts.filters import query as queries
from payouts.filters.selection import Selection
from payouts.models import Payout
from payouts.summaries import rollup, rollup_sql, summarize
from payouts.summaries.rollup import Horizon
from payouts.summaries.summarize import Grouping, Summary

DAY = timedelta(days=1)

Result = TypeVar("Result")


def day_ago(number: int) -> date:
    return datetime.now(UTC).date() - number * DAY


def at(day: date, hour: float = 12.0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def close(up_to: date) -> None:
    """Close all days up to this one. No transaction of another test is waited for."""
    while rollup.close_next_day(Horizon(0, up_to)) <= up_to:
        pass


def refresh() -> None:
    """Heed all marks of closed days."""
    while rollup.refresh_marked_days():
        pass


def summary(key: MerchantAPIKey, query: str = "", grouping: Grouping | None = None) -> Summary:
    selection = Selection.of(queries.filters_in(QueryDict(query)), merchant_id=key.merchant_id, mode=key.mode)
    return summarize.summarize(selection, grouping or Grouping())


def count(key: MerchantAPIKey, query: str = "") -> int:
    return sum(row["count"] for row in summary(key, query)["totals"])


def figures(amounts: list[Decimal], currency: str) -> dict[str, Any]:
    """Count, sum, average and extremes of some amounts, in the words of a summary."""
    total = sum(amounts, Decimal(0))
    exponent = Decimal(1).scaleb(-money.decimals_of_currency(currency))
    return {
        "count": len(amounts),
        "amount": str(total.quantize(exponent)),
        "average": str((total / len(amounts)).quantize(exponent)),
        "min": str(min(amounts).quantize(exponent)),
        "max": str(max(amounts).quantize(exponent)),
    }


def summed(payouts: list[Payout], groups: frozenset[str], zone: tzinfo) -> dict[str, Any]:
    """Return the summary of the payouts by plain Python."""
    columns = [name for name in ("day", "status", "currency", "provider") if name in groups or name == "currency"]
    rows = defaultdict(list)
    totals = defaultdict(list)
    for payout in payouts:
        facts = {"day": payout.created_at.astimezone(zone).date().isoformat(), **vars(payout)}
        rows[tuple(facts[name] for name in columns)].append(payout.amount)
        totals[payout.currency].append(payout.amount)
    at_currency = columns.index("currency")
    return {
        "results": [
            {**dict(zip(columns, key, strict=True)), **figures(rows[key], key[at_currency])} for key in sorted(rows)
        ],
        "totals": [{"currency": code, **figures(totals[code], code)} for code in sorted(totals)],
    }


def eventually(is_true: Callable[[], Any], *, seconds: float = 60.0) -> None:
    """Wait for it; other processes of the test run may have transactions open for a while."""
    ends_at = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < ends_at, "It never came."
        time.sleep(0.02)


@contextmanager
def others() -> Iterator[Callable[[Callable[[], Result]], Future[Result]]]:
    """Give a function that has something done by another thread, on a connection of its own."""

    def on_own_connection(work: Callable[[], Result]) -> Result:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        yield lambda work: pool.submit(on_own_connection, work)


def is_waiting_for_a_lock() -> bool:
    """Tell whether anybody in this database waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


def differences(*days: date) -> list[rollup_sql.Difference]:
    return [difference for day in days for difference in rollup.verify_day(day, limit=100)]


ALIAS = DEFAULT_DB_ALIAS
