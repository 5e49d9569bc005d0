"""The filters of the list one by one: syntax, and which payouts match. filterset.py puts them together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from itertools import product
from operator import or_
from typing import Any, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Upper

from accounts.fields import LineField
from idempotency import keys
from payouts import money
from payouts.models import Payout
from payouts.models.indexes import SearchCode, SearchText
from payouts.states import PayoutStatus
from rest import moments, texts

#: For Chinese, Japanese and Korean. Other scripts need three.
SEARCH_LENGTH_MIN: Final = 2
SEARCH_LENGTH_MAX: Final = 100
CLOCKS_DIFFER_BY: Final = timedelta(days=1)
#: Han, kana, bopomofo and Hangul, without invisible characters (U+115F, U+1160, U+3164) and punctuation.
_CJK: Final = (
    r"\u1100-\u115e\u1161-\u11ff\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u3096\u309d-\u309f"
    r"\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u3163\u3165-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    r"\u4e00-\u9fff\ua960-\ua97c\uac00-\ud7fb\uf900-\ufad9\uff66-\uff9d\U00020000-\U0003fffd"
)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_METADATA: Final = re.compile(r"metadata\[([^\x00]+)\]")
_METADATA_NAME_LENGTH_MAX: Final = 40


def metadata_name(parameter: str) -> str | None:
    """Return the name in `metadata[name]`, or None for another parameter or a name that is too long."""
    found = _METADATA.fullmatch(parameter)
    if found is None:
        return None
    name = texts.normalised(found[1])
    return name if len(name) <= _METADATA_NAME_LENGTH_MAX else None


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
        if code and (problem := money.currency_problem(code)):
            raise ValidationError(problem, code="unknown_currency")
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
    """A time with its offset from UTC (RFC 3339). Without an offset the moment is unknown."""

    def __init__(self, **given: Any) -> None:
        super().__init__(strip=False, **given)

    def clean(self, value: Any) -> datetime | None:
        text = super().clean(value)
        if not text:
            return None
        moment = moments.parse(text)
        if moment is None:
            raise ValidationError(
                "Write the time as RFC 3339 does, with its offset from UTC, such as 2026-01-31T12:00:00Z or "
                "2026-01-31T13:00:00+01:00 (a plus sign in a URL is %2B).",
                code="invalid_time",
            )
        return moment


class ReferenceField(forms.CharField):
    """A text in its stored form, so that the limit counts the same characters."""

    def to_python(self, value: Any) -> str:
        return texts.normalised(super().to_python(value) or "")


class IdempotencyKeyField(forms.CharField):
    """The key itself, or in either spelling of its header."""

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        key = keys.parse_address(text) if text else ""
        if key is None:
            raise ValidationError("No Idempotency-Key can be written like that.", code="invalid_idempotency_key")
        return key


class SearchField(LineField):
    """Part of a text. Line feeds divide the searched texts, and no term can contain one.

    The index has groups of three letters or digits. A term without such a group would read all payouts of the merchant.
    A Chinese, Japanese or Korean character counts as several (payouts/models/indexes.py).
    """

    default_validators = [
        RegexValidator(
            rf"[^\W_]{{3}}|[{_CJK}]{{2}}",
            "Search for three letters or digits in a row, or for two Chinese, Japanese or Korean characters.",
            "search_too_short",
        ),
    ]


class ReferenceFilter(django_filters.CharFilter):
    field_class = ReferenceField

    def filter(self, queryset: QuerySet[Payout], value: str) -> QuerySet[Payout]:
        spelt = texts.spellings(value)
        return queryset.filter(reference=value) if len(spelt) == 1 else queryset.filter(reference__in=spelt)


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


class MetadataWidget(forms.Widget):
    """All of `metadata[name]=value`."""

    def value_from_datadict(self, data: Mapping[str, Any], files: Any, name: str) -> list[tuple[str, str]]:
        del files, name
        return [(key, data[given]) for given in data if (key := metadata_name(given)) is not None]


class MetadataField(forms.Field):
    widget = MetadataWidget


class UpdatedBeforeFilter(MomentFilter):
    """Changed before a time, and therefore created before it.

    The second condition lets the list start there instead of skipping all newer payouts. A margin of a day allows for
    clocks that were set back. The time of the change decides about payouts within it.
    """

    def filter(self, queryset: QuerySet[Payout], value: datetime | None) -> QuerySet[Payout]:
        if value is None:
            return queryset
        latest = value + CLOCKS_DIFFER_BY if value < _LATEST - CLOCKS_DIFFER_BY else _LATEST
        return queryset.filter(updated_at__lt=value, created_at__lt=latest)


class MetadataFilter(django_filters.Filter):
    """All of the pairs, each in its stored form or that of an earlier version."""

    field_class = MetadataField

    def filter(self, queryset: QuerySet[Payout], value: list[tuple[str, str]]) -> QuerySet[Payout]:
        for name, text in value:
            spelt = product(texts.spellings(name), texts.spellings(text))
            queryset = queryset.filter(reduce(or_, (Q(metadata__contains={one: other}) for one, other in spelt)))
        return queryset


class SearchFilter(django_filters.CharFilter):
    field_class = SearchField

    def filter(self, queryset: QuerySet[Payout], value: str) -> QuerySet[Payout]:
        term = Upper(Value(value))
        found = queryset.alias(searched=SearchText()).filter(searched__contains=term)
        return found if value.isascii() else found.filter(searched__contains=SearchCode(term))
