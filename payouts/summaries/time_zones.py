"""Changes of a time zone's offset, from Python's tz database. Pure.

Days are computed with these and not with PostgreSQL's AT TIME ZONE: PostgreSQL has another version of the database, and
reads some names differently. (CET is an hour ahead of UTC all year there, and has summer time here.)
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

# No payout is older. (Long before, each town had its own time.)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)
# No zone has changed twice within a day.
_STEP: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
# Later changes come with later versions of the tz database.
_YEARS_AHEAD: Final = 2


@dataclass(frozen=True)
class Offsets:
    """How far the zone is ahead of UTC: offsets[n] applies from changes[n - 1] until changes[n]."""

    changes: tuple[datetime, ...]
    #: One more than the changes.
    offsets: tuple[timedelta, ...]

    def are_none(self, start: datetime, end: datetime) -> bool:
        """Return whether the zone equals UTC from start to end."""
        first, last = (bisect_right(self.changes, moment) for moment in (start, end))
        return not any(self.offsets[first : last + 1])


def offsets_of(zone: tzinfo) -> Offsets:
    """Return the offsets of the zone until two years from now."""
    return _offsets(zone, datetime.now(UTC).year + _YEARS_AHEAD)


@lru_cache(maxsize=128)
def _offsets(zone: tzinfo, until_year: int) -> Offsets:
    # Takes about 10 ms. The first change is a dummy: PostgreSQL's arrays need a type.
    changes, offsets = [_BEGINNING], [_offset(zone, _BEGINNING)] * 2
    moment = _BEGINNING
    while moment.year < until_year:
        following = moment + _STEP
        if _offset(zone, following) != offsets[-1]:
            changes.append(_change(zone, moment, following))
            offsets.append(_offset(zone, following))
        moment = following
    return Offsets(tuple(changes), tuple(offsets))


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """Return the second of the change in between."""
    offset = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        before, after = (middle, after) if _offset(zone, middle) == offset else (before, middle)
    return after


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)
