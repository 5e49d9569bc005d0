"""Which part of a range of time the cells of the roll-up tell, and which must be read from the payouts. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

_DAY = timedelta(days=1)


class Range(NamedTuple):
    """From a moment on and before another; None: without that limit."""

    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Coverage:
    """A range of time, divided: each moment of it belongs to a day of the cells or to one of the ranges, never both."""

    #: The cells of the days from the one and before the other, ...
    first_day: date
    end_day: date
    #: ... but for these, which are out of date.
    marked_days: tuple[date, ...]
    #: To be read from the payouts.
    live: tuple[Range, ...]

    @property
    def has_cells(self) -> bool:
        return self.first_day < self.end_day


def all_live(start: datetime | None, end: datetime | None) -> Coverage:
    """Return the range, all of it to be read from the payouts."""
    return Coverage(date.min, date.min, (), (Range(start, end),))


def divide(
    start: datetime | None, end: datetime | None, *, closed_before: date, marked_days: Collection[date]
) -> Coverage:
    """Divide the range. Cells tell whole days (UTC) that are closed and not marked."""
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
    """Return when the day begins, in UTC."""
    return datetime.combine(day, time.min, UTC)


def _merged(ranges: list[Range]) -> Iterator[Range]:
    """Make one range of those that adjoin, and leave out those in which no moment is."""
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
        # Behind the last day there is none, and no payout either.
        return moment.date()
    return moment.date() + _DAY


def _in_utc(moment: datetime) -> datetime:
    """Return the moment in UTC; near the ends of the calendar the last that it has. No payout is there."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.combine(date.min if moment.year == 1 else date.max, time.min, UTC)
