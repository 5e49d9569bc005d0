"""Times and days in the form of RFC 3339. Other forms of ISO 8601 are refused. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

_DAY: Final = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME: Final = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?P<minute>[0-9]{2}:[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]+))?(?P<offset>[Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse(text: str) -> datetime | None:
    """Return the time in UTC, or None if the text is not RFC 3339. Years begin with 1, as in Python.

    What is finer than a microsecond is rounded up: nothing is stored that finely, so "from" and "before" stay exact.
    A leap second, which is the 60th of the last minute of a month, is the second after it, as in PostgreSQL. A time
    that is past the ends of the calendar in UTC alone is the first or the last that there is.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    is_leap = match["second"] == "60"
    offset = "+00:00" if match["offset"] in "Zz" else match["offset"]
    local = f"{match['date']}T{match['minute']}:{'59' if is_leap else match['second']}{offset}"
    try:
        # The hour 24 and the like: RFC 3339 has none, and Python neither.
        moment = datetime.strptime(local, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
    try:
        whole = moment.astimezone(UTC) + timedelta(seconds=is_leap)
        if is_leap and not _begins_month(whole):
            return None
        return whole + timedelta(microseconds=_microseconds(match["fraction"] or ""))
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if moment.year == 1 else datetime.max.replace(tzinfo=UTC)


def written(moment: datetime) -> str:
    """Return the time, which is in UTC, such as 2026-11-23T12:00:00.250000Z."""
    return moment.isoformat().replace("+00:00", "Z")


def parse_day(text: str) -> date | None:
    """Return the day that is written as in RFC 3339, such as 2026-01-31; None for anything else."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def _microseconds(fraction: str) -> int:
    return int(f"{fraction[:6]:0<6}") + bool(fraction[6:].strip("0"))


def _begins_month(moment: datetime) -> bool:
    return moment == moment.replace(day=1, hour=0, minute=0, second=0)
