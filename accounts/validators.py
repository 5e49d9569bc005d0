"""Validators for fields of models and forms, by the rules of rest/texts.py and accounts/names.py."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from accounts import names
from rest import texts


def validate_line(value: str) -> None:
    """Accept one line of text with a visible character."""
    _refuse(texts.problem_of_line(value))


def validate_merchant_name(value: str) -> None:
    """Accept a name that a new merchant may have."""
    _refuse(names.problem_of(value))


def _refuse(problem: texts.Problem | None) -> None:
    if problem is not None:
        raise ValidationError(problem.message, code=problem.code)
