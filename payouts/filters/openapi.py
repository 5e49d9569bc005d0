"""The filters in the API documentation: schema and example.

The example is part of the description, because a page that tries the API out would fill in an `example`.
"""

from __future__ import annotations

from typing import Any, Final

from payouts import money
from payouts.filters.fields import SEARCH_LENGTH_MAX, SEARCH_LENGTH_MIN

_AMOUNT: Final = {"type": "string", "pattern": money.AMOUNT_BOUND_PATTERN}
_TIME: Final = {"type": "string", "format": "date-time"}
# Not blank, and without NUL.
_TEXT: Final = {"type": "string", "maxLength": 255, "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}
# As in the header, quoted or not, and not blank.
_KEY: Final = {"type": "string", "maxLength": 255, "pattern": "^ *[!-~][ -~]*$"}
_STATUSES: Final = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/PayoutStatus"}}
_PAIRS: Final = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "string", "pattern": _TEXT["pattern"]},
}

#: Schema and example of each.
FILTERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "status": (_STATUSES, "paid,returned"),
    "currency": ({"type": "string", "pattern": "^[A-Z]{3}$"}, "EUR"),
    "amount_min": (_AMOUNT, "10.50"),
    "amount_max": (_AMOUNT, "500"),
    "created_after": (_TIME, "2026-11-01T00:00:00Z"),
    "created_before": (_TIME, "2026-12-01T00:00:00Z"),
    "updated_after": (_TIME, "2026-11-23T12:00:00+01:00"),
    "updated_before": (_TIME, "2026-11-24T00:00:00Z"),
    "reference": (_TEXT, "order-4711"),
    "idempotency_key": (_KEY, "order-4711-refund"),
    "search": ({"type": "string", "minLength": SEARCH_LENGTH_MIN, "maxLength": SEARCH_LENGTH_MAX}, "jane doe"),
    "metadata": (_PAIRS, "returns"),
}
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "status": {"style": "form", "explode": True},
    "metadata": {"style": "deepObject", "explode": True},
}


def parameter(name: str, description: str) -> dict[str, Any]:
    """Return the filter as a parameter of OpenAPI 3."""
    schema, example = FILTERS[name]
    shown = description if example in description else f"{description} For example `{example}`."
    return {"name": name, "in": "query", "description": shown, "schema": schema, **_STYLES.get(name, {})}
