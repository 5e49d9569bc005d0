"""Query parameters: what an operation does not understand is refused with its name, never ignored."""

from __future__ import annotations

from collections.abc import Set

from django.core.exceptions import ValidationError
from django.utils.datastructures import MultiValueDict

Parameters = MultiValueDict[str, str]


class ParametersRefused(ValidationError):
    """Some parameters were refused, each by its name. Django's error: a page of the admin shows it as well."""


def refused(name: str, message: str, code: str) -> ParametersRefused:
    """Return the refusal of one parameter."""
    return ParametersRefused({name: ValidationError(message, code)})


def refuse_misunderstood(
    given: Parameters, *, known: Set[str], more: Set[str] = frozenset(), repeatable: Set[str] = frozenset()
) -> None:
    """Raise ParametersRefused for each parameter that is unknown, empty, repeated or has a NUL.

    The parameters in `more` are known as well, but are not named as a choice. Those in `repeatable` may be given
    several times, which means the same as once with commas.
    """
    problems: dict[str, tuple[str, str]] = {}
    for name, values in given.lists():
        if name not in known and name not in more:
            choice = ", ".join(sorted(known)) or "none"
            problems[name] = (f"There is no such parameter; there are: {choice}.", "unknown_parameter")
        elif any(not value.strip() for value in values):
            problems[name] = ("Give it a value or leave it out.", "blank")
        elif any("\x00" in value for value in values):
            problems[name] = ("NUL is not allowed.", "invalid_character")
        elif len(values) > 1 and name not in repeatable:
            problems[name] = ("Give it once.", "repeated_parameter")
    if problems:
        raise ParametersRefused({name: ValidationError(*problem) for name, problem in problems.items()})
