"""The filters of list, summary and exports. An unknown or malformed parameter is refused by name, never ignored."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Set
from typing import Any, Final

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import QueryDict
from django_filters.constants import EMPTY_VALUES
from rest_framework.exceptions import ErrorDetail
from rest_framework.exceptions import ValidationError as APIValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request
from rest_framework.views import APIView

from payouts.filters import fields, openapi
from payouts.filters.selection import Selection
from payouts.models import Payout, PayoutQuerySet
from rest import parameters

ORDERINGS: Final = ("-created_at", "created_at", "-amount", "amount")
TIMES_OF_CREATION: Final = frozenset({"created_after", "created_before"})


class PayoutFilterSet(django_filters.FilterSet):
    """Ranges include their lower end and, for times, exclude their upper end: two adjoining ones share no payout."""

    status = fields.StatusFilter(lookup_expr="in", help_text="One status or several, repeated or separated by commas.")
    currency = fields.CurrencyFilter(help_text="ISO 4217 code.")
    amount_min = fields.AmountFilter("amount", "gte", help_text="This amount or more.")
    amount_max = fields.AmountFilter("amount", "lte", help_text="This amount or less.")
    created_after = fields.MomentFilter("created_at", "gte", help_text="Created at this time or later.")
    created_before = fields.MomentFilter("created_at", "lt", help_text="Created before this time.")
    updated_after = fields.MomentFilter("updated_at", "gte", help_text="Changed at this time or later.")
    updated_before = fields.UpdatedBeforeFilter("updated_at", "lt", help_text="Changed before this time.")
    reference = fields.ReferenceFilter(max_length=255, help_text="Your own id for the payout, whole.")
    # A quoted key may begin or end with a space, which belongs to it.
    idempotency_key = fields.IdempotencyKeyFilter(
        strip=False, help_text="The key that it was asked for with, as it is or quoted."
    )
    search = fields.SearchFilter(
        max_length=fields.SEARCH_LENGTH_MAX,
        help_text=(
            "Part of the comment, the recipient, or the reference: three letters or digits in a row, or two Chinese, "
            "Japanese or Korean characters."
        ),
    )
    metadata = fields.MetadataFilter(help_text="Pairs of yours: `metadata[department]=returns`.")

    class Meta:
        model = Payout
        fields: tuple[str, ...] = ()


#: Parameters that may be given several times, or once with commas.
REPEATABLE: Final = frozenset({"status", "group_by", "include"})


class StrictFilterBackend(BaseFilterBackend):
    """Adds the filters to the schema. The views call `select`."""

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        del view
        return [
            openapi.parameter(name, given.extra["help_text"]) for name, given in PayoutFilterSet.base_filters.items()
        ]


def select(given: QueryDict, *, merchant_id: uuid.UUID, mode: str, known: Set[str] = frozenset()) -> Selection:
    """Return the selection of the query parameters from a merchant's payouts in a mode.

    `known` names the other parameters. Raises ValidationError (REST framework's) that names each parameter that is
    unknown, empty, repeated, malformed or contradictory.
    """
    metadata = _metadata_in(given)
    filters = PayoutFilterSet.base_filters.keys() - {"metadata"} | {"metadata[name]"}
    parameters.refuse_misunderstood(given, known=known | filters, more=metadata, repeatable=REPEATABLE)
    payouts = Payout.objects.of_merchant(merchant_id, mode)
    if not given.keys() - known:
        # Skip django-filter: its form would cost a plain list a tenth of the request.
        return Selection(merchant_id, mode, payouts, created_after=None, created_before=None, of_cells=Q())
    values = _cleaned(PayoutFilterSet(given, payouts))
    return Selection(
        merchant_id,
        mode,
        _filtered(payouts, {name: value for name, value in values.items() if name not in TIMES_OF_CREATION}),
        created_after=values.get("created_after"),
        created_before=values.get("created_before"),
        of_cells=_of_cells(values),
        updated_after=values.get("updated_after"),
        updated_before=values.get("updated_before"),
    )


def _metadata_in(given: QueryDict) -> frozenset[str]:
    """Return the parameters `metadata[name]`. Raises ValidationError for two spellings of one name."""
    found: dict[str, str] = {}
    for parameter in given:
        name = fields.metadata_name(parameter)
        if name is not None and found.setdefault(name, parameter) != parameter:
            raise APIValidationError({parameter: [ErrorDetail("Give it once.", "repeated_parameter")]})
    return frozenset(found.values())


def _cleaned(filterset: PayoutFilterSet) -> dict[str, Any]:
    """Return the given filters."""
    valid = filterset.is_valid()
    _refuse_crossed(filterset.form.cleaned_data)
    if not valid:
        raise APIValidationError(
            {
                name: [ErrorDetail(_message(error), code=error.code) for error in errors]
                for name, errors in filterset.form.errors.as_data().items()
            }
        )
    return {name: value for name, value in filterset.form.cleaned_data.items() if value not in EMPTY_VALUES}


def _filtered(payouts: PayoutQuerySet, values: dict[str, Any]) -> PayoutQuerySet:
    for name, value in values.items():
        payouts = PayoutFilterSet.base_filters[name].filter(payouts, value)
    return payouts


def _of_cells(values: dict[str, Any]) -> Q | None:
    if values.keys() - {"status", "currency"} - TIMES_OF_CREATION:
        return None
    status = Q(status__in=values["status"]) if "status" in values else Q()
    return status & (Q(currency=values["currency"]) if "currency" in values else Q())


def _message(error: ValidationError) -> str:
    # Without params a percent sign is literal, and may be the caller's.
    return str(error.message % error.params if error.params else error.message)


RANGES: Iterable[tuple[str, str]] = (
    ("amount_min", "amount_max"),
    ("created_after", "created_before"),
    ("updated_after", "updated_before"),
)


def _refuse_crossed(values: dict[str, Any]) -> None:
    for lower, upper in RANGES:
        if values.get(lower) is not None and values.get(upper) is not None and values[lower] > values[upper]:
            raise APIValidationError(
                {lower: [ErrorDetail(f"It is above {upper}: nothing can match.", "crossed_range")]}
            )


def ordering_of(request: Request) -> tuple[str, ...]:
    """Return the columns to order by, the unique one last. Raises ValidationError for an unknown order."""
    ordering = request.query_params.get("ordering", ORDERINGS[0])
    if ordering not in ORDERINGS:
        raise APIValidationError(
            {"ordering": [ErrorDetail(f"The orders are {', '.join(ORDERINGS)}.", "invalid_choice")]}
        )
    return columns_of(ordering)


def columns_of(ordering: str) -> tuple[str, ...]:
    """Return the columns of one of ORDERINGS, the unique one last."""
    return (ordering, "-id" if ordering.startswith("-") else "id")


def wants_total(request: Request) -> bool:
    """Return whether the response shall include the total. Raises ValidationError for other values."""
    asked_for = {name.strip() for value in request.query_params.getlist("include") for name in value.split(",")}
    if asked_for - {"total"}:
        raise APIValidationError({"include": [ErrorDetail("There is nothing to include but total.", "invalid_choice")]})
    return bool(asked_for)
