"""The filters, each declared once: for list, summary, exports, total, the admin and the API documentation.

A filter stands in a query and in a JSON object by the same name. The JSON form is what the API answers and what an
export stores, so a later version must still read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import django_filters
from django.core.exceptions import ValidationError
from django_filters.constants import EMPTY_VALUES

from payouts import limits
from payouts.filters import fields
from payouts.models import Payout
from rest import parameters
from rest.parameters import ParametersRefused


class PayoutFilterSet(django_filters.FilterSet):
    """Ranges include their lower end and, for times, exclude their upper end: two adjoining ones share no payout."""

    status = fields.StatusFilter(
        "status",
        "in",
        help_text="One status or several, repeated or separated by commas.",
        help_in_object="One status or several.",
        example="paid,returned",
    )
    currency = fields.CurrencyFilter(help_text="ISO 4217 code.", example="EUR")
    amount_min = fields.AmountFilter("amount", "gte", help_text="This amount or more.", example="10.50")
    amount_max = fields.AmountFilter("amount", "lte", help_text="This amount or less.", example="500")
    created_after = fields.MomentFilter(
        "created_at", "gte", help_text="Created at this time or later.", example="2026-11-01T00:00:00Z"
    )
    created_before = fields.MomentFilter(
        "created_at", "lt", help_text="Created before this time.", example="2026-12-01T00:00:00Z"
    )
    updated_after = fields.MomentFilter(
        "updated_at", "gte", help_text="Changed at this time or later.", example="2026-11-23T12:00:00+01:00"
    )
    updated_before = fields.UpdatedBeforeFilter(
        "updated_at", "lt", help_text="Changed before this time.", example="2026-11-24T00:00:00Z"
    )
    reference = fields.ReferenceFilter(
        max_length=limits.REFERENCE_LENGTH_MAX, help_text="Your own id for the payout, whole.", example="order-4711"
    )
    idempotency_key = fields.IdempotencyKeyFilter(
        # A quoted key may begin or end with a space, which belongs to it.
        strip=False,
        help_text="The key that it was asked for with, as it is or quoted.",
        example="order-4711-refund",
    )
    search = fields.SearchFilter(
        max_length=fields.SEARCH_LENGTH_MAX,
        help_text=(
            "Part of the comment, the recipient, or the reference: three letters or digits in a row, or two Chinese, "
            "Japanese or Korean characters."
        ),
        example="jane doe",
    )
    metadata = fields.MetadataFilter(
        help_text="Pairs of yours: `metadata[department]=returns`.",
        help_in_object="Pairs of strings of your own.",
        example="returns",
    )

    class Meta:
        model = Payout
        fields: tuple[str, ...] = ()


FILTERS: Final[Mapping[str, fields.PayoutFilter]] = PayoutFilterSet.base_filters
#: The filter with several values.
SEVERAL: Final = "status"
#: The filter that is an object.
PAIRS: Final = "metadata"
RANGES: Final = (
    ("amount_min", "amount_max"),
    ("created_after", "created_before"),
    ("updated_after", "updated_before"),
)


def parse(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of filters in their JSON form.

    Raises ParametersRefused that names each filter that is unknown, malformed or contradictory.
    """
    if not filters:
        # Skip django-filter: its form would cost a plain list a tenth of the request.
        return {}
    filterset = PayoutFilterSet(filters)
    is_valid = filterset.is_valid()
    cleaned = filterset.form.cleaned_data
    _refuse_crossed(cleaned)
    if not is_valid:
        raise ParametersRefused(filterset.errors.as_data())
    values = {name: value for name, value in cleaned.items() if value not in EMPTY_VALUES}
    # A filter without a value would select more than was asked for.
    if ignored := filters.keys() - values.keys():
        raise ParametersRefused({name: ValidationError("There is no such filter.", "unknown") for name in ignored})
    return values


def _refuse_crossed(values: Mapping[str, Any]) -> None:
    for lower, upper in RANGES:
        if values.get(lower) is not None and values.get(upper) is not None and values[lower] > values[upper]:
            raise parameters.refused(lower, f"It is above {upper}: nothing can match.", "crossed_range")
