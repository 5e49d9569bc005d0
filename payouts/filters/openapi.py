"""The filters in the API documentation.

The example is part of the description, because a page that tries the API out would fill in an `example`.
"""

from __future__ import annotations

from typing import Any, Final

from rest_framework.filters import BaseFilterBackend
from rest_framework.views import APIView

from payouts.filters.fields import PayoutFilter
from payouts.filters.filterset import FILTERS

#: The filters as a JSON object.
OBJECT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "The filters of the list, by the same names.",
    "properties": {
        name: {**one.schema, "nullable": True, "description": one.help_in_object} for name, one in FILTERS.items()
    },
}


class FilterParameters(BaseFilterBackend):
    """Lists the filters of a view for drf-spectacular, which asks no other class for them. The view selects."""

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        del view
        return [_parameter(name, one) for name, one in FILTERS.items()]


def _parameter(name: str, one: PayoutFilter) -> dict[str, Any]:
    """Return the filter as a parameter of OpenAPI 3."""
    is_shown = one.example in one.help_text
    description = one.help_text if is_shown else f"{one.help_text} For example `{one.example}`."
    return {"name": name, "in": "query", "description": description, "schema": one.schema, **one.style}
