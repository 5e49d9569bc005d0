"""The rule of accounts/texts.py for the fields of models and forms: a refusal reads as a sentence there."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from accounts import texts


def validate_line(value: str) -> None:
    """Accept a text of one line in which something can be seen."""
    if problem := texts.problem_of_line(value):
        raise ValidationError(problem.message, code=problem.code)
