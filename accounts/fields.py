"""Fields of the admin's forms."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms


class MerchantField(forms.ModelChoiceField):  # type: ignore[type-arg] # Only the stubs know its argument.
    def prepare_value(self, value: Any) -> Any:
        """Show nothing for what is no id at all: the widget would look for it in the database, and fall over."""
        try:
            return uuid.UUID(str(super().prepare_value(value)))
        except ValueError:
            return None
