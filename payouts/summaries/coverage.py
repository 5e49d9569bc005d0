"""Divides a range of time: what the roll-up cells cover, and what is read from the payouts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

_DAY = timedelta(days=1)


class Range(NamedTuple):
    """Start (inclusive) and end (exclusive). None: no limit."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Coverage:
    """A divided range of time: each moment belongs either to a day of the cells or to one live range."""

    #: The days of the cells: first_day (inclusive) to end_day, ...
    first_day: date
    end_day: date
    #: ... except these, whose cells are stale.
    marked_days: tuple[date, ...]
    #: Read from the payouts.
    live: tuple[Range, ...]

    @property
    def has_cells(self) -> bool:
        return self.first_day < self.end_day


def all_live(start: datetime | None, end: datetime | None) -> Coverage:
    """Return the range, to be read from the payouts alone."""
    return Coverage(date.min, date.min, (), (Range(start, end),))


def divide(
    start: datetime | None, end: datetime | None, *, closed_before: date, marked_days: Collection[date]
) -> Coverage:
    """Divide the range. Cells cover whole days (UTC) that are closed and unmarked."""
    first_day = date.min if start is None else _first_whole_day(start)
    end_day = closed_before if end is None else min(closed_before, _in_utc(end).date())
    if first_day >= end_day:
        return all_live(start, end)
    marked = sorted(day for day in marked_days if first_day <= day < end_day)
    ranges = [
        *([] if start is None else [Range(start, midnight(first_day))]),
        *(Range(midnight(day), midnight(day + _DAY)) for day in marked),
        Range(midnight(end_day), end),
    ]
    return Coverage(first_day, end_day, tuple(marked), tuple(_merged(ranges)))


def midnight(day: date) -> datetime:
    """Return the start of the day in UTC."""
    return datetime.combine(day, time.min, UTC)


def _merged(ranges: list[Range]) -> Iterator[Range]:
    """Merge adjacent ranges and drop empty ones."""
    current: Range | None = None
    for following in ranges:
        if following.start == following.end:
            continue
        if current is not None and current.end == following.start:
            current = Range(current.start, following.end)
            continue
        if current is not None:
            yield current
        current = following
    if current is not None:
        yield current


def _first_whole_day(moment: datetime) -> date:
    moment = _in_utc(moment)
    if moment.time() == time.min or moment.date() == date.max:
        # No day follows date.max, and no payout is there.
        return moment.date()
    return moment.date() + _DAY


def _in_utc(moment: datetime) -> datetime:
    """Return the moment in UTC, clamped to the ends of the calendar. No payout is there."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.combine(date.min if moment.year == 1 else date.max, time.min, UTC)
