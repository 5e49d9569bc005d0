"""The SQL of the roll-up: writes the cells of a day from its payouts, or compares the two.

All of it runs in the caller's transaction, which has one snapshot (postgres/snapshots.py). Writers hold `LOCK`, so only
one is at work.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.db import connection

#: A writer of cells takes this lock first and holds it until the transaction ends. Readers and triggers that add marks
#: do not wait. Two writers could overwrite each other's cells, or delete a mark that neither has processed.
LOCK: Final = "LOCK TABLE payouts_rollupstate IN SHARE UPDATE EXCLUSIVE MODE"
#: ... and fails if another holds the lock.
LOCK_NOWAIT: Final = f"{LOCK} NOWAIT"

# Every merchant in every mode. The day needs no index: each merchant and mode is looked up in the index of the
# list.
_ALL_MERCHANTS: Final = """
    SELECT merchant.id AS merchant_id, modes.mode, %(day)s::date AS day
    FROM accounts_merchant merchant CROSS JOIN (VALUES ('live'), ('test')) AS modes (mode)
"""
_CHOSEN: Final = """
    SELECT * FROM unnest(%(merchants)s::uuid[], %(modes)s::text[], %(days)s::date[]) AS chosen (merchant_id, mode, day)
"""
_UNMARKED: Final = (
    _ALL_MERCHANTS
    + """
    WHERE NOT EXISTS (
        SELECT FROM payouts_rollupmark mark
        WHERE mark.merchant_id = merchant.id AND mark.mode = modes.mode AND mark.day = %(day)s
    )
"""
)
_FOUND: Final = """
    SELECT scope.merchant_id, scope.mode, scope.day, sums.*
    FROM scope CROSS JOIN LATERAL (
        SELECT
            status, currency, provider,
            count(*) AS count, sum(amount) AS amount, min(amount) AS amount_min, max(amount) AS amount_max
        FROM payouts_payout payout
        WHERE payout.merchant_id = scope.merchant_id AND payout.mode = scope.mode AND payout.deleted_at IS NULL
            AND payout.created_at >= scope.day::timestamp AT TIME ZONE 'UTC'
            AND payout.created_at < (scope.day + 1)::timestamp AT TIME ZONE 'UTC'
        GROUP BY status, currency, provider
    ) sums
"""
_DELETE: Final = """
    WITH scope AS MATERIALIZED ({scope})
    DELETE FROM {table} USING scope
    WHERE {table}.merchant_id = scope.merchant_id AND {table}.mode = scope.mode AND {table}.day = scope.day
"""
_WRITE: Final = """
    WITH scope AS MATERIALIZED ({scope})
    INSERT INTO payouts_rollupcell
        (merchant_id, mode, day, status, currency, provider, count, amount, amount_min, amount_max)
    {found}
"""
_DIFFERENCES: Final = """
    WITH scope AS MATERIALIZED ({scope}),
    found AS ({found}),
    kept AS (
        SELECT cell.* FROM payouts_rollupcell cell JOIN scope
            ON cell.merchant_id = scope.merchant_id AND cell.mode = scope.mode AND cell.day = scope.day
    )
    SELECT
        merchant_id, mode, day, status, currency, provider,
        kept.count, kept.amount, kept.amount_min, kept.amount_max,
        found.count, found.amount, found.amount_min, found.amount_max
    FROM kept FULL JOIN found USING (merchant_id, mode, day, status, currency, provider)
    WHERE (kept.count, kept.amount, kept.amount_min, kept.amount_max)
        IS DISTINCT FROM (found.count, found.amount, found.amount_min, found.amount_max)
    ORDER BY merchant_id, mode, day, status, currency, provider
    LIMIT %(limit)s
"""
_FIRST_DAY: Final = """
    SELECT min((first.created_at AT TIME ZONE 'UTC')::date)
    FROM accounts_merchant merchant CROSS JOIN (VALUES ('live'), ('test')) AS modes (mode)
    CROSS JOIN LATERAL (
        SELECT created_at FROM payouts_payout payout
        WHERE payout.merchant_id = merchant.id AND payout.mode = modes.mode AND payout.deleted_at IS NULL
        ORDER BY created_at LIMIT 1
    ) first
"""


class DayOfMerchant(NamedTuple):
    """The merchant, mode and day of some cells."""

    merchant_id: uuid.UUID
    mode: str
    day: date


class Sums(NamedTuple):
    """Sums of a cell."""

    payouts: int
    amount: Decimal
    amount_min: Decimal
    amount_max: Decimal


class Difference(NamedTuple):
    """A cell that differs from the payouts. None: there is no such cell, or there are no such payouts."""

    merchant_id: uuid.UUID
    mode: str
    day: date
    status: str
    currency: str
    provider: str
    kept: Sums | None
    found: Sums | None


def write_day(day: date) -> int:
    """Rebuild all cells of a day, delete the marks it saw, and return the number of cells."""
    return _write(_ALL_MERCHANTS, {"day": day})


def write_some(some: Sequence[DayOfMerchant]) -> int:
    """Rebuild the cells of some merchants' days as write_day does, and return the number of cells."""
    columns = ([each[number] for each in some] for number in range(3))
    return _write(_CHOSEN, dict(zip(("merchants", "modes", "days"), columns, strict=True)))


def _write(scope: str, parameters: dict[str, Any]) -> int:
    for table in ("payouts_rollupcell", "payouts_rollupmark"):
        _execute(_DELETE.format(scope=scope, table=table), parameters)
    return _execute(_WRITE.format(scope=scope, found=_FOUND), parameters)


def differences(day: date, *, limit: int) -> list[Difference]:
    """Return the first unmarked cells of a day that differ from the payouts."""
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERENCES.format(scope=_UNMARKED, found=_FOUND), {"day": day, "limit": limit})
        return [Difference._make([*row[:6], _sums(row[6:10]), _sums(row[10:])]) for row in cursor.fetchall()]


def first_day() -> date | None:
    """Return the day of the first payout of all, if any."""
    with connection.cursor() as cursor:
        cursor.execute(_FIRST_DAY)
        day: date | None = cursor.fetchone()[0]
    return day


def _sums(columns: Sequence[Any]) -> Sums | None:
    return None if columns[0] is None else Sums(*columns)


def _execute(sql: str, parameters: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return int(cursor.rowcount)
