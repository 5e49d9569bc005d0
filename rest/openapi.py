"""How an operation of the API is described, and the headers that several operations have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

#: Key of an operation's refusals in the schema, until config/openapi.py renders them.
ERRORS: Final = "x-errors"

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


def operation(*, errors: tuple[type[Exception], ...] = (), **described: Any) -> Callable[[Any], Any]:
    """Describe an operation for drf-spectacular, with the refusals that not every operation has."""
    return extend_schema(extensions={ERRORS: errors}, **described)
