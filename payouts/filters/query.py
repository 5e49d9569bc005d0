"""From the parameters of a request to filters. What is not understood is refused by name, never ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from typing import Any, Final

from django.utils.datastructures import MultiValueDict

from payouts import limits
from payouts.filters.filterset import FILTERS, PAIRS, SEVERAL
from payouts.filters.selection import ORDERINGS, columns_of
from rest import parameters, texts
from rest.parameters import Parameters

_NAMES: Final = FILTERS.keys() - {PAIRS} | {f"{PAIRS}[name]"}
_PAIR: Final = re.compile(rf"{PAIRS}\[([^\x00]+)\]")


def filters_in(
    given: Parameters, *, known: Set[str] = frozenset(), repeatable: Set[str] = frozenset()
) -> dict[str, Any]:
    """Return the filters among the parameters, in their JSON form.

    `known` names the parameters that are no filters, `repeatable` those of them that may be given several times.
    Raises ParametersRefused that names each parameter that is unknown, empty or repeated.
    """
    parameters.refuse_misunderstood(
        given, known=known | _NAMES, more=_pairs_in(given), repeatable=repeatable | {SEVERAL}
    )
    found: dict[str, Any] = {}
    for name, values in given.lists():
        if (pair := pair_name(name)) is not None:
            found.setdefault(PAIRS, {})[pair] = values[-1]
        elif name == SEVERAL:
            found[name] = [part.strip() for value in values for part in value.split(",")]
        elif name not in known:
            found[name] = values[-1]
    return found


def parameters_of(filters: Mapping[str, Any]) -> Parameters:
    """Return an object of filters, whose values are texts, as parameters."""
    given: Parameters = MultiValueDict()
    for name, value in filters.items():
        match value:
            case dict():
                given.update({f"{name}[{key}]": text for key, text in value.items()})
            case list():
                given.setlist(name, value)
            case _:
                given[name] = value
    return given


def pair_name(parameter: str) -> str | None:
    """Return the name in `metadata[name]`, or None for another parameter or a name that is too long."""
    found = _PAIR.fullmatch(parameter)
    if found is None:
        return None
    name = texts.normalised(found[1])
    return name if len(name) <= limits.METADATA_NAME_LENGTH_MAX else None


def _pairs_in(given: Parameters) -> frozenset[str]:
    """Return the parameters `metadata[name]`. Raises ParametersRefused for two spellings of one name."""
    found: dict[str, str] = {}
    for parameter in given:
        name = pair_name(parameter)
        if name is not None and found.setdefault(name, parameter) != parameter:
            raise parameters.refused(parameter, "Give it once.", "repeated_parameter")
    return frozenset(found.values())


def ordering_of(given: Parameters) -> tuple[str, ...]:
    """Return the columns to order by, the unique one last. Raises ParametersRefused for an unknown order."""
    ordering = given.get("ordering", ORDERINGS[0])
    if ordering not in ORDERINGS:
        raise parameters.refused("ordering", f"The orders are {', '.join(ORDERINGS)}.", "invalid_choice")
    return columns_of(ordering)


def wants_total(given: Parameters) -> bool:
    """Return whether the response shall include the total. Raises ParametersRefused for other values."""
    asked_for = {name.strip() for value in given.getlist("include") for name in value.split(",")}
    if asked_for - {"total"}:
        raise parameters.refused("include", "There is nothing to include but total.", "invalid_choice")
    return bool(asked_for)
