"""The filters of the list, which its sums use too. What is not understood is refused with its name, never ignored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ErrorDetail
from rest_framework.exceptions import ValidationError as APIValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts import parameters
from idempotency import keys
from payouts import money
from payouts.models import Payout
from payouts.states import PayoutStatus

ORDERINGS = ("-created_at", "created_at", "-amount", "amount")
SEARCH_LENGTH_MIN, SEARCH_LENGTH_MAX = 2, 100


class StatusField(forms.Field):
    """One status, or several: repeated or separated by commas."""

    widget = forms.SelectMultiple

    def clean(self, value: Any) -> list[str]:
        statuses = [part.strip() for item in value or [] for part in str(item).split(",")]
        for status in statuses:
            if status not in PayoutStatus.values:
                raise ValidationError(
                    f"{status!r} is no status; the statuses are {', '.join(PayoutStatus.values)}.",
                    code="invalid_choice",
                )
        return statuses


class CurrencyField(forms.CharField):
    def clean(self, value: Any) -> str:
        code: str = super().clean(value)
        if code and code not in money.CURRENCY_DECIMALS:
            raise ValidationError(f"{code!r} is no currency code of ISO 4217, such as EUR.", code="unknown_currency")
        return code


class AmountField(forms.CharField):
    def clean(self, value: Any) -> Decimal | None:
        text = super().clean(value)
        if not text:
            return None
        if not money.AMOUNT.fullmatch(text) or Decimal(text) >= money.AMOUNT_LIMIT:
            raise ValidationError("Write the amount as a plain decimal number, such as 10.50.", code="invalid_amount")
        return Decimal(text)


class MomentField(forms.CharField):
    """A time with its offset from UTC (RFC 3339): without it nobody knows which moment is meant."""

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        try:
            # It would take the digits of any script.
            moment = parse_datetime(text) if text.isascii() else None
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise ValidationError(
                "Write the time with its offset, such as 2026-01-31T12:00:00Z (a plus sign in a URL is %2B).",
                code="invalid_time",
            )
        return moment


class IdempotencyKeyField(forms.CharField):
    """The key as it is, or in either spelling of its header."""

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        key = keys.parse_address(text) if text else ""
        if key is None:
            raise ValidationError("No Idempotency-Key can be written like that.", code="invalid_idempotency_key")
        return key


class StatusFilter(django_filters.Filter):
    field_class = StatusField


class CurrencyFilter(django_filters.CharFilter):
    field_class = CurrencyField


class AmountFilter(django_filters.NumberFilter):
    field_class = AmountField

    def get_max_validator(self) -> None:
        return None


class MomentFilter(django_filters.CharFilter):
    field_class = MomentField


class IdempotencyKeyFilter(django_filters.CharFilter):
    field_class = IdempotencyKeyField


class PayoutFilterSet(django_filters.FilterSet):
    """Ranges include their lower end and, for times, exclude their upper end: two adjoining ones share no payout."""

    status = StatusFilter(lookup_expr="in", help_text="One status or several, repeated or separated by commas.")
    currency = CurrencyFilter(help_text="ISO 4217 code.")
    amount_min = AmountFilter("amount", "gte", help_text="This amount or more.")
    amount_max = AmountFilter("amount", "lte", help_text="This amount or less.")
    created_after = MomentFilter("created_at", "gte", help_text="Created at this time or later.")
    created_before = MomentFilter("created_at", "lt", help_text="Created before this time.")
    updated_after = MomentFilter("updated_at", "gte", help_text="Changed at this time or later.")
    updated_before = MomentFilter("updated_at", "lt", help_text="Changed before this time.")
    reference = django_filters.CharFilter(max_length=255, help_text="Your own id for the payout, whole.")
    # A quoted key may begin or end with a space, which belongs to it.
    idempotency_key = IdempotencyKeyFilter(
        strip=False, help_text="The key that it was asked for with, as it is or quoted."
    )
    search = django_filters.CharFilter(
        method="search_text",
        min_length=SEARCH_LENGTH_MIN,
        max_length=SEARCH_LENGTH_MAX,
        help_text="Part of the comment, the recipient's name or account, or the reference.",
    )

    class Meta:
        model = Payout
        fields: tuple[str, ...] = ()

    def search_text(self, queryset: QuerySet[Payout], name: str, value: str) -> QuerySet[Payout]:
        del name
        return queryset.filter(
            Q(comment__icontains=value)
            | Q(reference__icontains=value)
            | Q(recipient_details__name__icontains=value)
            | Q(recipient_details__account__icontains=value)
        )


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter, and a refusal of every parameter that is unknown, empty, repeated or contradictory."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        names = self.get_filterset_class(view, queryset).base_filters.keys()
        # Each list of ours says which parameters it has beside the filters.
        parameters.refuse_misunderstood(request, known={*names, *view.list_parameters})  # type: ignore[attr-defined]
        filterset = self.get_filterset(request, queryset, view)
        valid = filterset.is_valid()
        _refuse_crossed(filterset.form.cleaned_data)
        if not valid:
            raise APIValidationError(
                {
                    name: [ErrorDetail(_message(error), code=error.code) for error in errors]
                    for name, errors in filterset.form.errors.as_data().items()
                }
            )
        selected: QuerySet[Any] = filterset.qs
        return selected


def _message(error: ValidationError) -> str:
    # Without parameters a percent sign is one, and may be the caller's.
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
    return (ordering, "-id" if ordering.startswith("-") else "id")
