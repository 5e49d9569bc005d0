"""Query parameters: what an operation does not understand is refused with its name, never ignored."""

from __future__ import annotations

from collections.abc import Set

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request


def refuse_misunderstood(request: Request, *, known: Set[str]) -> None:
    """Raise ValidationError for each parameter that is unknown, empty, repeated (but for `status`) or has a NUL."""
    problems: dict[str, list[ErrorDetail]] = {}
    for name, values in request.query_params.lists():
        if name not in known:
            choice = ", ".join(sorted(known)) or "none"
            problems[name] = [ErrorDetail(f"There is no such parameter; there are: {choice}.", "unknown_parameter")]
        elif any(not value.strip() for value in values):
            problems[name] = [ErrorDetail("Give it a value or leave it out.", "blank")]
        elif any("\x00" in value for value in values):
            problems[name] = [ErrorDetail("NUL is not allowed.", "invalid_character")]
        elif len(values) > 1 and name != "status":
            problems[name] = [ErrorDetail("Give it once.", "repeated_parameter")]
    if problems:
        raise ValidationError(problems)
