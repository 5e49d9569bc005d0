"""Keeps the daily roll-up exact: closes the days that are over, and rebuilds cells that a change has made stale.

A summary adds the cells of the closed days, except marked ones, and reads the rest from the payouts
(payouts/summaries/summarize.py). The sum is exact because of three rules:

* A change of a payout whose day is over leaves a mark in the same transaction (a trigger of migration 0009).
* A rebuild of cells deletes exactly the marks that it saw, in the same transaction and snapshot. A change that the
  rebuild did not see keeps its mark, and the day is read from the payouts until the next rebuild.
* A day is closed only after every change of it leaves a mark.

Note [Closing a day]
A transaction may write a payout before midnight, when the day is not over and needs no mark, and commit long after.
The transaction got its id before the write, and ids rise. So we take an id of our own when the day is over
(`Horizon`), and close the day in a later transaction. Its snapshot must find all transactions with smaller ids ended,
and so sees their payouts. Transactions with greater ids write after the end of the day, and leave marks.
We need an id of our own: pg_snapshot_xmax() is one past the last that has ended, and greater ids may be running.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError, connection
from django.db.models import Min

from payouts.models import RollupCell, RollupMark, RollupState
from payouts.summaries import rollup_sql
from payouts.summaries.rollup_sql import DayOfMerchant, Difference
from postgres import rows, snapshots
from postgres.errors import is_locked

logger = logging.getLogger(__name__)

_DAY: Final = timedelta(days=1)

# Grace period after a day's end: tolerates a database clock that is set back by up to 5 minutes, for example after a
# failover.
GRACE_MINUTES: Final = 5


@dataclass(frozen=True)
class Limits:
    """How much is done and counted at once."""

    #: After this time a round starts nothing more, because payouts wait for the sweeper.
    round_seconds: float = 1.0
    #: Marks per transaction. Many are of the same merchant and day.
    marks: int = 200
    #: Marks counted for a dashboard.
    count_max: int = 100_000


LIMITS: Final = Limits()


@dataclass(frozen=True)
class Horizon:
    """Only transactions with smaller ids can have changed payouts up to this day without a mark."""

    transaction_id: int
    #: The last day that was over at that time.
    day: date


class NotYetEnded(Exception):
    """A transaction that may have left no mark is still running."""


def maintain(horizon: Horizon | None, *, limits: Limits = LIMITS) -> Horizon | None:
    """Do one round, and return the horizon for the next round.

    1. Rebuild the cells of the days with the oldest marks.
    2. Close the days that are over, oldest first.

    Does nothing if another process holds the lock.
    """
    ends_at = time.monotonic() + limits.round_seconds
    try:
        _refresh_until(ends_at, limits)
        return _close_until(ends_at, horizon)
    except OperationalError as error:
        if not is_locked(error):
            raise
        return horizon


def _refresh_until(ends_at: float, limits: Limits) -> None:
    while refresh_marked_days(limits=limits) == limits.marks and time.monotonic() < ends_at:
        pass


def refresh_marked_days(*, limits: Limits = LIMITS) -> int:
    """Rebuild the cells of the closed days with the oldest marks, and return the number of marks read.

    Marks of open days stay: closing the day deletes them. If the database refuses, the days are rebuilt one by one, and
    one that cannot be rebuilt keeps its marks: it is read from the payouts, and tried again in the next round.
    """
    try:
        return _refresh(limits.marks)
    except DatabaseError as error:
        if is_locked(error):
            raise
        rows.report_set(error, "rollup_mark")
    marks = RollupMark.objects.filter(day__lt=closed_before() or date.min).order_by("id")
    found = marks.values_list(*DayOfMerchant._fields)[: limits.marks]
    rows.each(_refresh_one, dict.fromkeys(DayOfMerchant(*mark) for mark in found), "day_of_merchant")
    return 0


def _refresh_one(day: DayOfMerchant) -> int:
    with snapshots.writing(DEFAULT_DB_ALIAS, lock=rollup_sql.LOCK_NOWAIT):
        return rollup_sql.write_some([day])


def _refresh(marks_max: int) -> int:
    with snapshots.writing(DEFAULT_DB_ALIAS, lock=rollup_sql.LOCK_NOWAIT):
        marks = RollupMark.objects.filter(day__lt=closed_before() or date.min).order_by("id")
        seen = [DayOfMerchant(*mark) for mark in marks.values_list(*DayOfMerchant._fields)[:marks_max]]
        days = list(dict.fromkeys(seen))
        if days:
            rollup_sql.write_some(days)
    if days:
        logger.info("rollup.days.refreshed", extra={"days": len(days)})
    return len(seen)


def _close_until(ends_at: float, horizon: Horizon | None) -> Horizon | None:
    last_day = _last_day_over()
    while True:
        next_day = closed_before()
        if next_day is not None and next_day > last_day:
            return None
        if horizon is None or (next_day is not None and next_day > horizon.day):
            horizon = take_horizon()
        try:
            close_next_day(horizon, lock=rollup_sql.LOCK_NOWAIT)
        except NotYetEnded:
            return horizon
        if time.monotonic() >= ends_at:
            return horizon


def take_horizon() -> Horizon:
    """Return the horizon of now. Call it outside of a transaction, because its own must have ended."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_current_xact_id()::text::bigint, {_LAST_DAY_OVER}")
        return Horizon(*cursor.fetchone())


def close_next_day(horizon: Horizon, *, lock: str = rollup_sql.LOCK) -> date:
    """Close the first open day up to the horizon, and return the day before which all are closed.

    The roll-up begins with the day of the first payout. Raises NotYetEnded (see the note above).
    """
    with snapshots.writing(DEFAULT_DB_ALIAS, lock=lock):
        # The first statement after the lock takes the snapshot of all others.
        if _oldest_under_way() < horizon.transaction_id:
            raise NotYetEnded
        already = closed_before()
        day = already or rollup_sql.first_day() or horizon.day + _DAY
        if day > horizon.day:
            # No day up to the horizon is open, or none has a payout.
            return already or _set_closed_before(horizon.day + _DAY)
        cells = rollup_sql.write_day(day)
        _set_closed_before(day + _DAY)
    logger.info("rollup.day.closed", extra={"day": day.isoformat(), "cells": cells})
    return day + _DAY


def rebuild_day(day: date) -> int:
    """Rebuild the cells of a closed day and return their number. Waits for the lock."""
    with snapshots.writing(DEFAULT_DB_ALIAS, lock=rollup_sql.LOCK):
        return rollup_sql.write_day(day)


def verify_day(day: date, *, limit: int) -> list[Difference]:
    """Compare the cells of a closed day with the payouts in one snapshot, except marked (stale) cells."""
    with snapshots.reading(DEFAULT_DB_ALIAS):
        return rollup_sql.differences(day, limit=limit)


def closed_before() -> date | None:
    """Return the day before which all days are closed, if any."""
    return RollupState.objects.values_list("closed_before", flat=True).first()


def closed_days(first: date | None, last: date | None) -> list[date]:
    """Return the closed days from the one to the other, beginning with the first that has payouts or cells."""
    end = closed_before()
    starts = (rollup_sql.first_day(), RollupCell.objects.aggregate(first=Min("day"))["first"])
    start = min((day for day in starts if day is not None), default=None)
    if start is None or end is None:
        return []
    start = start if first is None else max(first, start)
    end = end if last is None or last >= end else last + _DAY
    return [start + timedelta(days=number) for number in range((end - start).days)]


@dataclass(frozen=True)
class Lag:
    """How far the roll-up is behind. Summaries stay exact but take longer."""

    #: Pending marks, up to a limit.
    marks: int
    #: Days that are over and open; 1 for some minutes after midnight. None: no day is closed yet.
    days: int | None


def lag(*, limits: Limits = LIMITS) -> Lag:
    """Return how far the roll-up is behind."""
    open_from = closed_before()
    with connection.cursor() as cursor:
        cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
        (today,) = cursor.fetchone()
    marks = RollupMark.objects.order_by()[: limits.count_max].count()
    return Lag(marks=marks, days=None if open_from is None else max(0, (today - open_from).days))


_LAST_DAY_OVER: Final = f"(clock_timestamp() AT TIME ZONE 'UTC' - interval '{GRACE_MINUTES} minutes')::date - 1"


def _last_day_over() -> date:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_LAST_DAY_OVER}")
        day: date = cursor.fetchone()[0]
    return day


def _oldest_under_way() -> int:
    """Return an id: the snapshot sees all transactions with smaller ids as ended."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        oldest: int = cursor.fetchone()[0]
    return oldest


def _set_closed_before(day: date) -> date:
    if not RollupState.objects.update(closed_before=day):
        RollupState.objects.create(closed_before=day)
    return day
