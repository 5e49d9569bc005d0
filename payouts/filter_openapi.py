"""What the API documentation says of each filter: its form, and an example."""

from __future__ import annotations

from typing import Any, Final

from payouts import money
from payouts.filter_fields import SEARCH_LENGTH_MAX, SEARCH_LENGTH_MIN
from payouts.states import PayoutStatus

_AMOUNT: Final = {"type": "string", "pattern": f"^{money.AMOUNT.pattern}$"}
_TIME: Final = {"type": "string", "format": "date-time"}
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": 255}

#: Schema and example of each.
FILTERS: Final[dict[str, tuple[dict[str, Any], Any]]] = {
    "status": ({"type": "array", "items": {"type": "string", "enum": PayoutStatus.values}}, ["paid", "returned"]),
    "currency": ({"type": "string", "pattern": "^[A-Z]{3}$"}, "EUR"),
    "amount_min": (_AMOUNT, "10.50"),
    "amount_max": (_AMOUNT, "500"),
    "created_after": (_TIME, "2026-11-01T00:00:00Z"),
    "created_before": (_TIME, "2026-12-01T00:00:00Z"),
    "updated_after": (_TIME, "2026-11-23T12:00:00+01:00"),
    "updated_before": (_TIME, "2026-11-24T00:00:00Z"),
    "reference": (_TEXT, "order-4711"),
    "idempotency_key": (_TEXT, "order-4711-refund"),
    "search": ({"type": "string", "minLength": SEARCH_LENGTH_MIN, "maxLength": SEARCH_LENGTH_MAX}, "jane doe"),
    "metadata": ({"type": "object", "additionalProperties": {"type": "string"}}, {"department": "returns"}),
}
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "status": {"style": "form", "explode": True},
    "metadata": {"style": "deepObject", "explode": True},
}


def parameter(name: str, description: str) -> dict[str, Any]:
    """Return the filter as a parameter of OpenAPI 3.

    A page that tries the API out fills in the first example. It is that of no filter.
    """
    schema, example = FILTERS[name]
    examples = {
        "none": {"summary": "not filtered", "value": type(example)()},
        "example": {"summary": "for example", "value": example},
    }
    style = _STYLES.get(name, {})
    return {
        "name": name, "in": "query", "description": description, "schema": schema, "examples": examples, **style
    }  # fmt: skip
