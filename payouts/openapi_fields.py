"""What the API documentation says of a text that is sent: the characters that it may have.

A pattern here and the check of the field say the same. What no pattern can say (a currency that exists, the decimals of
an amount) is in the field's description.
"""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from payouts.serializers import METADATA_PAIRS_MAX, CurrencyField, MetadataField, StrictCharField, TextField

_CONTROL: Final = r"\u0000-\u001f\u007f"
ONE_LINE: Final = rf"^[^{_CONTROL}]*$"
ONE_LINE_NOT_BLANK: Final = rf"^[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*$"
LINES: Final = r"^[^\u0000]*$"
NOT_BLANK: Final = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
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
        return {**_mapped(auto_schema, self.target, direction), "maxProperties": METADATA_PAIRS_MAX}


def _mapped(auto_schema: Any, field: Any, direction: str) -> dict[str, Any]:
    """Return what drf-spectacular itself says of the field."""
    schema: dict[str, Any] = auto_schema._map_serializer_field(field, direction, bypass_extensions=True)  # noqa: SLF001
    return schema
