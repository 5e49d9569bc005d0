"""What the API documentation says about the headers of several operations."""

from __future__ import annotations

from typing import Final

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
)

KEY_FORM: Final = "1 to 255 visible ASCII characters without quote, comma and backslash, or a quoted string."


# Bare or quoted, as idempotency/keys.py reads the header.
KEY_SCHEMA: Final = {
    "type": "string",
    "pattern": r'^([!#-+\--\[\]-~]{1,255}|"([ !#-\[\]-~]|\\["\\]){1,255}")$',
}


KEY_EXAMPLES: Final = [OpenApiExample("key", "order-4711-refund")]


IDEMPOTENCY_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    KEY_SCHEMA,
    OpenApiParameter.HEADER,
    description=(
        "Make one up for each payout, such as a UUID, and send the same one when you try again: at most one payout is "
        f"created for it, for ever. {KEY_FORM}"
    ),
    examples=KEY_EXAMPLES,
)


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


_ETAGS: Final = {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'}


IF_MATCH: Final = OpenApiParameter(
    "If-Match",
    _ETAGS,
    OpenApiParameter.HEADER,
    description="The ETag that you read. If the payout has changed since, nothing is done and the answer is 412.",
    examples=[OpenApiExample("etag", '"1"')],
)


IF_NONE_MATCH: Final = OpenApiParameter(
    "If-None-Match",
    _ETAGS,
    OpenApiParameter.HEADER,
    description="The ETag of the last GET: where nothing of the answer has changed since, it is 304 without a body.",
    examples=[OpenApiExample("etag", '"1-9f86d081884c7d65"')],
)


REPLAYED: Final = OpenApiParameter(
    "Idempotent-Replayed",
    str,
    OpenApiParameter.HEADER,
    response=[200, 201],
    description="`true` if an earlier request with the key did the work.",
)
