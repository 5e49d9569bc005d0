"""A selection from the parameters of a request, and from the JSON that an export stores."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from payouts.admin.summary import SummaryForm
from payouts.filters import query
from payouts.filters.filterset import FILTERS
from payouts.filters.selection import Selection
from rest.parameters import ParametersRefused

OWNER: Any = {"merchant_id": uuid.UUID(int=1), "mode": "test"}
#: The JSON form of every filter. Rows of exports hold it, so it must stay readable.
STORED = {
    "status": ["paid", "returned"],
    "currency": "EUR",
    "amount_min": "10.50",
    "amount_max": "500",
    "created_after": "2026-11-01T00:00:00Z",
    "created_before": "2026-12-01T01:00:00+01:00",
    "updated_after": "2026-11-02T00:00:00Z",
    "updated_before": "2026-11-03T00:00:00Z",
    "reference": "order-4711",
    "idempotency_key": '"order 4711"',
    "search": "jane doe",
    "metadata": {"department": "returns", "e\u0301": ""},
}
MEANT = {
    "status": ["paid", "returned"],
    "currency": "EUR",
    "amount_min": Decimal("10.50"),
    "amount_max": Decimal(500),
    "created_after": datetime(2026, 11, 1, tzinfo=UTC),
    "created_before": datetime(2026, 12, 1, tzinfo=UTC),
    "updated_after": datetime(2026, 11, 2, tzinfo=UTC),
    "updated_before": datetime(2026, 11, 3, tzinfo=UTC),
    "reference": "order-4711",
    "idempotency_key": "order 4711",
    "search": "jane doe",
    "metadata": [("department", "returns"), ("\u00e9", "")],
}


def refused(filters: dict[str, Any]) -> dict[str, list[str]]:
    with pytest.raises(ParametersRefused) as caught:
        Selection.of(filters, **OWNER)
    return {name: [str(one.code) for one in errors] for name, errors in caught.value.error_dict.items()}


class TestStoredFilters:
    def test_mean_what_they_meant(self) -> None:
        assert STORED.keys() == FILTERS.keys()
        assert Selection.of(STORED, **OWNER).values == MEANT

    def test_are_what_a_request_is_stored_as(self) -> None:
        given = QueryDict(
            "status=paid&status=returned&currency=EUR&metadata[department]=returns&amount_min=10.50"
            "&created_before=2026-12-01T01:00:00%2B01:00&ordering=amount"
        )

        filters = query.filters_in(given, known=frozenset({"ordering"}))

        names = {"status", "currency", "amount_min", "created_before"}
        assert filters == {"metadata": {"department": "returns"}, **{name: STORED[name] for name in names}}

    def test_select_all_if_there_are_none(self) -> None:
        selection = Selection.of({}, **OWNER)

        assert (selection.values, selection.created_after, selection.is_of_cells) == ({}, None, True)

    @pytest.mark.parametrize(
        ("filters", "problems"),
        [
            ({"colour": "red", "currency": "EUR"}, {"colour": ["unknown"]}),
            # Without its value a filter would select more than was asked for.
            ({"currency": ""}, {"currency": ["unknown"]}),
            ({"status": []}, {"status": ["unknown"]}),
            ({"metadata": {}}, {"metadata": ["unknown"]}),
            ({"status": ["lost"], "search": "x"}, {"status": ["invalid_choice"], "search": ["search_too_short"]}),
            ({"amount_min": "2", "amount_max": "1"}, {"amount_min": ["crossed_range"]}),
        ],
    )
    def test_are_refused_by_name(self, filters: dict[str, Any], problems: dict[str, list[str]]) -> None:
        assert refused(filters) == problems


class TestSelection:
    @pytest.mark.parametrize("name", FILTERS)
    def test_is_of_cells_if_they_have_the_columns(self, name: str) -> None:
        selection = Selection.of({name: STORED[name]}, **OWNER)

        assert selection.is_of_cells == (name in {"status", "currency", "created_after", "created_before"})


class TestDeclarations:
    @pytest.mark.parametrize("name", FILTERS)
    def test_have_an_example_that_is_taken(self, name: str) -> None:
        parameter = "metadata[department]" if name == "metadata" else name

        filters = query.filters_in(MultiValueDict({parameter: [FILTERS[name].example]}))

        assert Selection.of(filters, **OWNER).values.keys() == {name}

    def test_are_all_in_the_form_of_the_admin(self) -> None:
        fields = SummaryForm(QueryDict("metadata[department]=returns")).fields

        assert fields.keys() >= FILTERS.keys() - {"metadata"} | {"metadata[department]"}
        assert fields["amount_min"].widget.attrs["placeholder"] == FILTERS["amount_min"].example
