"""What the API documentation says of a text that is sent: the characters that it may have.

A pattern here says what the check of the field says (rest/texts.py), as far as one can. What none can say (a
currency that exists, the decimals of an amount, a mark without its letter) the server refuses by itself.
"""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from payouts import limits
from payouts.api.serializers import CurrencyField, MetadataField
from rest.serializers import StrictCharField, TextField

_CONTROL: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069"
# White space, and characters that are drawn without ink.
_UNSEEN: Final = r"\s\u00ad\u034f\u061c\u115f\u1160\u200b-\u200f\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"
ONE_LINE: Final = rf"^[^{_CONTROL}]*$"
ONE_LINE_NOT_BLANK: Final = rf"^[^{_CONTROL}]*[^{_UNSEEN}{_CONTROL}][^{_CONTROL}]*$"
LINES: Final = r"^[^\u0000]*$"
NOT_BLANK: Final = rf"^[^\u0000]*[^{_UNSEEN}\u0000][^\u0000]*$"
CURRENCY: Final = "^[A-Z]{3}$"


def pattern_of(field: StrictCharField) -> str:
    """Return the pattern of a text that this field takes."""
    match field:
        case CurrencyField():
            return CURRENCY
        case TextField():
            return LINES if field.allow_blank else NOT_BLANK
        case _:
            return ONE_LINE if field.allow_blank else ONE_LINE_NOT_BLANK


class TextExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call] # It registers its subclasses.
    target_class = StrictCharField
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        schema = _mapped(auto_schema, self.target, direction)
        # What was stored by an earlier version may have been checked by other rules.
        return {**schema, "pattern": pattern_of(self.target)} if direction == "request" else schema


class MetadataExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call] # It registers its subclasses.
    target_class = MetadataField

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        return {**_mapped(auto_schema, self.target, direction), "maxProperties": limits.METADATA_PAIRS_MAX}


def _mapped(auto_schema: Any, field: Any, direction: str) -> dict[str, Any]:
    """Return what drf-spectacular itself says of the field."""
    # Extensions of drf-spectacular call this method themselves.
    schema: dict[str, Any] = auto_schema._map_serializer_field(field, direction, bypass_extensions=True)  # noqa: SLF001
    return schema
