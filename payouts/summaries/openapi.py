"""What the API documentation says about summaries."""

from __future__ import annotations

from typing import Final

from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from payouts import errors
from payouts.api import openapi
from payouts.summaries import parameters, serializers
from payouts.summaries.summarize import DEFAULT_GROUPS
from rest.openapi import operation

_SUMS: Final = {
    "currency": "EUR",
    "count": 2,
    "amount": "21.00",
    "average": "10.50",
    "min": "8.00",
    "max": "13.00",
}


GROUP_BY: Final = OpenApiParameter(
    "group_by",
    {
        "type": "array",
        "items": {"type": "string", "enum": list(parameters.CHOICES)},
        "minItems": 1,
        "uniqueItems": True,
        "default": [name for name in parameters.CHOICES if name in DEFAULT_GROUPS],
    },
    explode=True,
    description=(
        "What the rows are split by, repeated or separated by commas. By currency they are split in any case, for "
        "amounts of two currencies have no sum."
    ),
    examples=[OpenApiExample("days", ["day", "status"])],
)


TIMEZONE: Final = OpenApiParameter(
    "timezone",
    {"type": "string", "pattern": "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$", "maxLength": 64},
    description=(
        "The time zone whose days are meant, by its name in the IANA database. Without it they are those of UTC. For "
        "`group_by=day` alone."
    ),
    examples=[OpenApiExample("zone", "America/New_York")],
)


payout_summary = operation(
    operation_id="summarize_payouts",
    tags=["reports"],
    summary="Count and sum payouts",
    # drf-spectacular adds filters by itself only if the response is a list.
    filters=True,
    description=(
        "Number and sum, average, least and greatest amount of the payouts that the filters of the list select, exact "
        "as of one moment. `results` has a row for each group, ordered by day, status, currency and provider as far as "
        "they were asked for; `totals` has one for each currency. Amounts are never summed across currencies. At most "
        "10000 rows: for more, ask for a shorter time or group by less."
    ),
    parameters=[GROUP_BY, TIMEZONE],
    responses={
        200: openapi.answer(
            "The rows and the totals.",
            {
                "results": [{"day": "2026-11-23", "status": "paid", **_SUMS}],
                "totals": [_SUMS],
            },
            serializers.SummarySerializer,
        )
    },
    errors=(errors.SummaryTooLarge, errors.TimeZoneUnknown, errors.TooManyReports),
)
