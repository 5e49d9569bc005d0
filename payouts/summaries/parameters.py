"""By what a request wants its payouts counted: the parameters of the summary that are no filters."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, tzinfo
from functools import cache
from typing import Final

from django.http import QueryDict
from rest_framework.exceptions import ErrorDetail, ValidationError

from payouts import errors
from payouts.summaries.summarize import COLUMNS, DEFAULT_GROUPS, Grouping

PARAMETERS: Final = frozenset({"group_by", "timezone"})
#: How the choices are shown, the default ones first.
CHOICES: Final = ("status", "currency", "day", "provider")
DEFAULT_ZONE: Final = "UTC"
# Whatever the machine takes for its own time.
_NO_NAMES: Final = frozenset({"localtime", "Factory"})


def grouping_of(given: QueryDict) -> Grouping:
    """Return what the parameters ask for. Raises ValidationError, or TimeZoneUnknown for a name that is not one."""
    groups = _groups(given.getlist("group_by"))
    name = given.get("timezone")
    if name is None:
        return Grouping(groups)
    if "day" not in groups:
        message = "It says when a day begins, so it needs group_by=day."
        raise ValidationError({"timezone": [ErrorDetail(message, "needs_group_by_day")]})
    return Grouping(groups, _zone(name))


def _groups(values: list[str]) -> frozenset[str]:
    groups = [part.strip() for value in values for part in value.split(",")]
    for group in groups:
        if group not in COLUMNS:
            message = f"{group!r} is nothing to group by; there are {', '.join(CHOICES)}."
            raise ValidationError({"group_by": [ErrorDetail(message, "invalid_choice")]})
    if len(set(groups)) < len(groups):
        raise ValidationError({"group_by": [ErrorDetail("Name each of them once.", "repeated_choice")]})
    return frozenset(groups) or DEFAULT_GROUPS


def _zone(name: str) -> tzinfo:
    if name == DEFAULT_ZONE:
        return UTC
    if name not in _zone_names():
        raise errors.TimeZoneUnknown(field="timezone")
    return zoneinfo.ZoneInfo(name)


@cache
def _zone_names() -> frozenset[str]:
    # It reads hundreds of files. A name is looked up here first, for a path is a name to ZoneInfo as well.
    return frozenset(zoneinfo.available_timezones()) - _NO_NAMES
