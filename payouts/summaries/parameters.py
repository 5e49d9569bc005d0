"""The parameters of the summary other than filters: grouping and time zone."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, tzinfo
from functools import cache
from typing import Final

from payouts import errors
from payouts.summaries.summarize import COLUMNS, DEFAULT_GROUPS, Grouping
from rest import parameters
from rest.parameters import Parameters

PARAMETERS: Final = frozenset({"group_by", "timezone"})
REPEATABLE: Final = frozenset({"group_by"})
#: The choices as shown, defaults first.
CHOICES: Final = ("status", "currency", "day", "provider")
DEFAULT_ZONE: Final = "UTC"
# Names for the local time of the machine.
_NO_NAMES: Final = frozenset({"localtime", "Factory"})


def grouping_of(given: Parameters) -> Grouping:
    """Return the requested grouping. Raises ParametersRefused, or TimeZoneUnknown for an unknown zone."""
    groups = _groups(given.getlist("group_by"))
    name = given.get("timezone")
    if name is None:
        return Grouping(groups)
    if "day" not in groups:
        message = "It says when a day begins, so it needs group_by=day."
        raise parameters.refused("timezone", message, "needs_group_by_day")
    return Grouping(groups, _zone(name))


def _groups(values: list[str]) -> frozenset[str]:
    groups = [part.strip() for value in values for part in value.split(",")]
    for group in groups:
        if group not in COLUMNS:
            message = f"{group!r} is nothing to group by; there are {', '.join(CHOICES)}."
            raise parameters.refused("group_by", message, "invalid_choice")
    if len(set(groups)) < len(groups):
        raise parameters.refused("group_by", "Name each of them once.", "repeated_choice")
    return frozenset(groups) or DEFAULT_GROUPS


def _zone(name: str) -> tzinfo:
    if name == DEFAULT_ZONE:
        return UTC
    if name not in _zone_names():
        raise errors.TimeZoneUnknown(field="timezone")
    return zoneinfo.ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    # Cached: the call reads hundreds of files. The check comes first, because ZoneInfo takes a path, too.
    return frozenset(zoneinfo.available_timezones()) - _NO_NAMES
