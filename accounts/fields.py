"""Fields of the admin's forms."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms

from accounts.validators import validate_line
from rest import texts


class LineField(forms.CharField):
    """One line of text (rest/texts.py)."""

    #: Value that an earlier version stored. It is accepted, so that the rest of the form can be changed.
    kept: str = ""

    def to_python(self, value: Any) -> Any:
        # First: Django strips white space, and with it characters that must be refused.
        if isinstance(value, str) and value.strip() and value != self.kept:
            validate_line(value)
        return texts.normalised(super().to_python(value) or "")


class MerchantField(forms.ModelChoiceField):  # type: ignore[type-arg] # Only the stubs know its argument.
    def prepare_value(self, value: Any) -> Any:
        """Return None if the value is not an id: the widget would query the database for it, and fail."""
        try:
            return uuid.UUID(str(super().prepare_value(value)))
        except ValueError:
            return None
