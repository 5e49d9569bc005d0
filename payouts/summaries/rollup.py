"""Keeps the daily roll-up right: closes the days that are over, and makes the cells anew that a change has overtaken.

A summary adds the cells of the closed days, but for those that are marked, and reads all else from the payouts
(payouts/summaries/summarize.py). It is exact because of three rules:

* Whoever changes a payout of a day that is over leaves a mark, in the same transaction (a trigger of migration 0009).
* Whoever makes cells deletes exactly the marks that it saw, in the same transaction and of the same snapshot. A change
  that it did not see keeps its mark, and the day is read from the payouts until somebody has seen to it.
* A day is closed only once nobody can change it without a mark any more.

Note [Closing a day]
A transaction may write a payout before midnight, when its day is not over and no mark is due, and commit long after.
It got its id before it wrote, and ids are given out in order. So we take an id for ourselves when the day is over
(`Horizon`), and close the day in a later transaction whose snapshot finds all transactions with smaller ids ended: what
they wrote, it sees. Those with greater ids have written when the day was over, and leave marks.
The id must be one of our own: pg_snapshot_xmax() is one past the last that has ended, and there may be greater ones
under way.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db import DEFAULT_DB_ALIAS, OperationalError, connection
from django.db.models import Min

from payouts.models import RollupCell, RollupMark, RollupState
from payouts.summaries import rollup_sql
from payouts.summaries.rollup_sql import DayOfMerchant, Difference
from postgres import snapshots
from postgres.errors import is_locked

logger = logging.getLogger(__name__)

_DAY: Final = timedelta(days=1)

# Minutes for which a day must have been over by the database's clock, so that a clock which is set back a little, or
# that of the standby which takes over, does not find it to be today again.
GRACE_MINUTES: Final = 5

# Seconds after which a round takes up nothing more. The sweeper has payouts to look after.
ROUND_SECONDS: Final = 1.0

# Marks that are heeded in one transaction; many are of the same day of the same merchant.
MARKS: Final = 200

# A figure on a dashboard.
COUNT_MAX: Final = 100_000


@dataclass(frozen=True)
class Horizon:
    """Transactions with smaller ids alone can have written payouts of these days, and of those before, unmarked."""

    transaction_id: int
    #: The last day that was over when the id was taken.
    day: date


class NotYetEnded(Exception):
    """A transaction that may have written without leaving a mark is under way."""


def maintain(horizon: Horizon | None) -> Horizon | None:
    """Do a round of work, and return what the next one is to be given.

    1. The oldest marks: the cells of their days are made anew.
    2. Days that are over are closed, the first of them first.

    Does nothing where somebody else is at work.
    """
    ends_at = time.monotonic() + ROUND_SECONDS
    try:
        _refresh_until(ends_at)
        return _close_until(ends_at, horizon)
    except OperationalError as error:
        if not is_locked(error):
            raise
        return horizon


def _refresh_until(ends_at: float) -> None:
    while refresh_marked_days() == MARKS and time.monotonic() < ends_at:
        pass


def refresh_marked_days() -> int:
    """Make the cells of those closed days anew that the oldest marks are of, and return how many marks were looked at.

    Marks of days that are not closed are left: whoever closes the day sees to them.
    """
    with snapshots.writing(DEFAULT_DB_ALIAS, lock=rollup_sql.LOCK_NOWAIT):
        marks = RollupMark.objects.filter(day__lt=closed_before() or date.min).order_by("id")
        seen = [DayOfMerchant(*mark) for mark in marks.values_list(*DayOfMerchant._fields)[:MARKS]]
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
    """Return the horizon of the days that are over now. Outside of a transaction: its own must have ended."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_current_xact_id()::text::bigint, {_LAST_DAY_OVER}")
        return Horizon(*cursor.fetchone())


def close_next_day(horizon: Horizon, *, lock: str = rollup_sql.LOCK) -> date:
    """Close the first day that is not, unless the horizon lies before it, and return the day before which all are.

    The first of all is that of the first payout. Raises NotYetEnded (see the note above).
    """
    with snapshots.writing(DEFAULT_DB_ALIAS, lock=lock):
        # The first statement behind the lock: it is the snapshot of all others.
        if _oldest_under_way() < horizon.transaction_id:
            raise NotYetEnded
        already = closed_before()
        day = already or rollup_sql.first_day() or horizon.day + _DAY
        if day > horizon.day:
            # None of the days up to the horizon is open, or none of them has a payout.
            return already or _set_closed_before(horizon.day + _DAY)
        cells = rollup_sql.write_day(day)
        _set_closed_before(day + _DAY)
    logger.info("rollup.day.closed", extra={"day": day.isoformat(), "cells": cells})
    return day + _DAY


def rebuild_day(day: date) -> int:
    """Make the cells of a closed day anew and return how many there are. Waits while somebody else is at work."""
    with snapshots.writing(DEFAULT_DB_ALIAS, lock=rollup_sql.LOCK):
        return rollup_sql.write_day(day)


def verify_day(day: date, *, limit: int) -> list[Difference]:
    """Compare the cells of a closed day with the payouts, as of one moment. What is marked is known to differ."""
    with snapshots.reading(DEFAULT_DB_ALIAS):
        return rollup_sql.differences(day, limit=limit)


def closed_before() -> date | None:
    """Return the day before which all days are closed; None while none is."""
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
    """How far the roll-up is behind. Summaries are exact whatever it is; they only take longer."""

    #: Marks that nobody has heeded, up to COUNT_MAX.
    marks: int
    #: Days that are over and not closed; 1 for some minutes after midnight. None: none was ever closed.
    days: int | None


def lag() -> Lag:
    """Return how far the roll-up is behind."""
    open_from = closed_before()
    with connection.cursor() as cursor:
        cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
        (today,) = cursor.fetchone()
    marks = RollupMark.objects.order_by()[:COUNT_MAX].count()
    return Lag(marks=marks, days=None if open_from is None else max(0, (today - open_from).days))


_LAST_DAY_OVER: Final = f"(clock_timestamp() AT TIME ZONE 'UTC' - interval '{GRACE_MINUTES} minutes')::date - 1"


def _last_day_over() -> date:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_LAST_DAY_OVER}")
        day: date = cursor.fetchone()[0]
    return day


def _oldest_under_way() -> int:
    """Return an id: all transactions with smaller ones have ended, and what they did is seen."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
        oldest: int = cursor.fetchone()[0]
    return oldest


def _set_closed_before(day: date) -> date:
    if not RollupState.objects.update(closed_before=day):
        RollupState.objects.create(closed_before=day)
    return day
