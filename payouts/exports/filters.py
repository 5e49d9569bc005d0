"""Converts the filters of an export between a JSON object and the query parameters of the list.

POST /api/exports/ takes the object, and the export stores it. A worker turns the object back into parameters, and
payouts/filters/filterset.py selects by them, as for the list.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Final

from django.http import QueryDict

from payouts.filters import filterset
from payouts.filters.fields import metadata_name
from payouts.filters.selection import Selection
from payouts.models import Export, PayoutQuerySet

#: The filter with several values.
SEVERAL: Final = "status"
#: The filter that is an object.
PAIRS: Final = "metadata"


def described(given: QueryDict, *, other: Set[str]) -> dict[str, Any]:
    """Return the filters among these parameters as an object; `other` names the other parameters."""
    found: dict[str, Any] = {}
    for name, values in given.lists():
        if (pair := metadata_name(name)) is not None:
            found.setdefault(PAIRS, {})[pair] = values[-1]
        elif name == SEVERAL:
            found[name] = [part.strip() for value in values for part in value.split(",")]
        elif name not in other:
            found[name] = values[-1]
    return found


def parameters_of(described_filters: Mapping[str, Any]) -> QueryDict:
    """Return the object as query parameters."""
    given = QueryDict(mutable=True)
    for name, value in described_filters.items():
        match value:
            case dict():
                given.update({f"{name}[{key}]": text for key, text in value.items()})
            case list():
                given.setlist(name, value)
            case _:
                given[name] = value
    return given


def payouts_of(export: Export) -> PayoutQuerySet:
    """Return the payouts that the export selects, in its order.

    Raises ValidationError (REST framework's) if a newer version of the platform refuses the export's filters.
    """
    given = parameters_of(export.filters)
    return in_order(filterset.select(given, merchant_id=export.merchant_id, mode=export.mode), export.ordering)


def in_order(selection: Selection, ordering: str) -> PayoutQuerySet:
    """Return the payouts in one of filterset.ORDERINGS."""
    return selection.payouts.order_by(*filterset.columns_of(ordering))
