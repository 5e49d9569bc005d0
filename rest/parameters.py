"""Query parameters: what an operation does not understand is refused with its name, never ignored."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from django.http import QueryDict
from rest_framework.exceptions import ErrorDetail, ValidationError

#: Those that may be given several times, or once with commas.
REPEATABLE: Final = frozenset({"status", "group_by", "include"})


def refuse_misunderstood(given: QueryDict, *, known: Set[str], more: Set[str] = frozenset()) -> None:
    """Raise ValidationError for each parameter that is unknown, empty, repeated or has a NUL.

    Those in `more` are known as well, and are not named as a choice.
    """
    problems: dict[str, list[ErrorDetail]] = {}
    for name, values in given.lists():
        if name not in known and name not in more:
            choice = ", ".join(sorted(known)) or "none"
            problems[name] = [ErrorDetail(f"There is no such parameter; there are: {choice}.", "unknown_parameter")]
        elif any(not value.strip() for value in values):
            problems[name] = [ErrorDetail("Give it a value or leave it out.", "blank")]
        elif any("\x00" in value for value in values):
            problems[name] = [ErrorDetail("NUL is not allowed.", "invalid_character")]
        elif len(values) > 1 and name not in REPEATABLE:
            problems[name] = [ErrorDetail("Give it once.", "repeated_parameter")]
    if problems:
        raise ValidationError(problems)
