"""What the API documentation says about the headers and refusals of `@idempotent`."""

from __future__ import annotations

from typing import Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from idempotency import errors

KEY_FORM: Final = "1 to 255 visible ASCII characters without quote, comma and backslash, or a quoted string."

# Bare or quoted, as idempotency/keys.py reads the header.
KEY_SCHEMA: Final = {
    "type": "string",
    "pattern": r'^([!#-+\--\[\]-~]{1,255}|"([ !#-\[\]-~]|\\["\\]){1,255}")$',
}

KEY_EXAMPLES: Final = [OpenApiExample("key", "order-4711-refund")]

OPTIONAL_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    KEY_SCHEMA,
    OpenApiParameter.HEADER,
    description=(
        "A key of its own for this request, which is then carried out once; the same request with the key again gets "
        f"the same answer. {KEY_FORM}"
    ),
    examples=[OpenApiExample("key", "order-4711-correction")],
)

REPLAYED: Final = OpenApiParameter(
    "Idempotent-Replayed",
    str,
    OpenApiParameter.HEADER,
    response=[200, 201],
    description="`true` if an earlier request with the key did the work.",
)
#: The refusals of an operation that takes an Idempotency-Key.
KEY_ERRORS: Final = (
    errors.IdempotencyKeyMalformed,
    errors.IdempotencyKeyInProgress,
    errors.IdempotencyKeyReused,
    errors.IdempotencyKeyUnreadable,
)
