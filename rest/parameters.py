"""Query parameters: what an operation does not understand is refused with its name, never ignored."""

from __future__ import annotations

from collections.abc import Set

from django.http import QueryDict
from rest_framework.exceptions import ErrorDetail, ValidationError


def refuse_misunderstood(
    given: QueryDict, *, known: Set[str], more: Set[str] = frozenset(), repeatable: Set[str] = frozenset()
) -> None:
    """Raise ValidationError for each parameter that is unknown, empty, repeated or has a NUL.

    The parameters in `more` are known as well, but are not named as a choice. Those in `repeatable` may be given
    several times, which means the same as once with commas.
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
        elif len(values) > 1 and name not in repeatable:
            problems[name] = [ErrorDetail("Give it once.", "repeated_parameter")]
    if problems:
        raise ValidationError(problems)
