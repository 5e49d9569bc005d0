"""The rule of rest/texts.py for the fields of models and forms: a refusal reads as a sentence there."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from accounts import names
from rest import texts


def validate_line(value: str) -> None:
    """Accept a text of one line in which something can be seen."""
    _refuse(texts.problem_of_line(value))


def validate_merchant_name(value: str) -> None:
    """Accept what a new merchant may be called."""
    _refuse(names.problem_of(value))


def _refuse(problem: texts.Problem | None) -> None:
    if problem is not None:
        raise ValidationError(problem.message, code=problem.code)
