"""The kinds of filters: syntax, SQL condition, and OpenAPI schema. filterset.py names the filters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from itertools import product
from operator import or_
from typing import Any, ClassVar, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Upper

from accounts.fields import LineField
from idempotency import keys
from payouts import limits, money
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
#: Not blank, and without NUL.
_TEXT_PATTERN: Final = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


class StatusField(forms.Field):
    """One status, or several."""

    widget = forms.SelectMultiple

    def clean(self, value: Any) -> list[str]:
        for status in value or ():
            if status not in PayoutStatus.values:
                raise ValidationError(
                    f"{status!r} is no status; the statuses are {', '.join(PayoutStatus.values)}.",
                    code="invalid_choice",
                )
        return list(value or ())


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


class MetadataField(forms.Field):
    """All of the pairs of an object."""

    widget = forms.Widget

    def clean(self, value: Any) -> list[tuple[str, str]]:
        return [(texts.normalised(name), text) for name, text in (value or {}).items()]


class PayoutFilter(django_filters.Filter):
    """Base of all filters: what django-filter needs, and what the API documentation says."""

    schema: ClassVar[dict[str, Any]]
    #: How a query writes a value that is no string.
    style: ClassVar[dict[str, Any]] = {}

    def __init__(self, *lookup: str, help_text: str, example: str, help_in_object: str = "", **options: Any) -> None:
        super().__init__(*lookup, **options)
        self.help_text = help_text
        self.example = example
        #: Help where the filters are an object.
        self.help_in_object = help_in_object or help_text


class StatusFilter(PayoutFilter):
    field_class = StatusField
    schema = {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/PayoutStatus"}}
    style = {"style": "form", "explode": True}


class CurrencyFilter(PayoutFilter):
    field_class = CurrencyField
    schema = {"type": "string", "pattern": "^[A-Z]{3}$"}


class AmountFilter(PayoutFilter):
    field_class = AmountField
    schema = {"type": "string", "pattern": money.AMOUNT_BOUND_PATTERN}


class MomentFilter(PayoutFilter):
    field_class = MomentField
    schema = {"type": "string", "format": "date-time"}


class UpdatedBeforeFilter(MomentFilter):
    """Changed before a time, and therefore created before it.

    The second condition lets the list start there instead of skipping all newer payouts. A margin of a day allows for
    clocks that were set back. The time of the change decides about payouts within it.
    """

    def filter(self, queryset: QuerySet[Payout], value: datetime) -> QuerySet[Payout]:
        latest = value + CLOCKS_DIFFER_BY if value < _LATEST - CLOCKS_DIFFER_BY else _LATEST
        return queryset.filter(updated_at__lt=value, created_at__lt=latest)


class ReferenceFilter(PayoutFilter):
    field_class = ReferenceField
    schema = {"type": "string", "maxLength": limits.REFERENCE_LENGTH_MAX, "pattern": _TEXT_PATTERN}

    def filter(self, queryset: QuerySet[Payout], value: str) -> QuerySet[Payout]:
        spelt = texts.spellings(value)
        return queryset.filter(reference=value) if len(spelt) == 1 else queryset.filter(reference__in=spelt)


class IdempotencyKeyFilter(PayoutFilter):
    field_class = IdempotencyKeyField
    # As in the header, quoted or not, and not blank.
    schema = {"type": "string", "maxLength": keys.LENGTH_MAX, "pattern": "^ *[!-~][ -~]*$"}


class SearchFilter(PayoutFilter):
    field_class = SearchField
    schema = {"type": "string", "minLength": SEARCH_LENGTH_MIN, "maxLength": SEARCH_LENGTH_MAX}

    def filter(self, queryset: QuerySet[Payout], value: str) -> QuerySet[Payout]:
        term = Upper(Value(value))
        found = queryset.alias(searched=SearchText()).filter(searched__contains=term)
        return found if value.isascii() else found.filter(searched__contains=SearchCode(term))


class MetadataFilter(PayoutFilter):
    """All of the pairs, each in its stored form or that of an earlier version."""

    field_class = MetadataField
    schema = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "string", "pattern": _TEXT_PATTERN},
    }
    style = {"style": "deepObject", "explode": True}

    def filter(self, queryset: QuerySet[Payout], value: list[tuple[str, str]]) -> QuerySet[Payout]:
        for name, text in value:
            spelt = product(texts.spellings(name), texts.spellings(text))
            queryset = queryset.filter(reduce(or_, (Q(metadata__contains={one: other}) for one, other in spelt)))
        return queryset
