"""Serializers and fields that take nothing which they do not understand."""

from __future__ import annotations

from typing import Any

from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.fields import empty

from rest import texts


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses a field that it does not know: a misspelt one that is ignored is a payout that is not as meant.

    Null for an optional field is as if the field were left out: clients that were generated from the schema send it.
    """

    @cached_property
    def fields(self) -> Any:
        fields = super().fields
        for field in fields.values():
            # For the schema. The field itself is given no null.
            field.allow_null = not (field.required or field.read_only or self.read_only)
        return fields

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            optional = {name for name, field in self.fields.items() if not field.required}
            data = {name: value for name, value in data.items() if value is not None or name not in optional}
        unknown = sorted(data.keys() - self.fields.keys()) if isinstance(data, dict) else []
        problems: dict[str, Any] = {
            name: [serializers.ErrorDetail("There is no such field.", code="unknown_field")] for name in unknown
        }
        try:
            known = super().to_internal_value(data)
        except serializers.ValidationError as error:
            # All errors in one answer, so that a client need not fix one field at a time.
            found = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
            raise serializers.ValidationError({**found, **problems}) from error
        if problems:
            raise serializers.ValidationError(problems)
        return known


class StrictCharField(serializers.CharField):
    """One line of text that was sent as a string (rest/texts.py). REST framework would take 5 for "5".

    It is normalised (NFC) first of all, so that limits count what is stored.
    """

    def run_validation(self, data: Any = empty) -> Any:
        # First of all: REST framework cuts white space off, and with it characters that are to be refused.
        if isinstance(data, str) and (problem := self.problem_of(data)):
            raise serializers.ValidationError(problem.message, code=problem.code)
        return super().run_validation(texts.normalised(data) if isinstance(data, str) else data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            raise serializers.ValidationError("Send it as a string.", code="not_a_string")
        return super().to_internal_value(data)

    def problem_of(self, text: str) -> texts.Problem | None:
        return texts.problem_of_line(text, may_be_blank=self.allow_blank)


class TextField(StrictCharField):
    """Text of any number of lines."""

    def problem_of(self, text: str) -> texts.Problem | None:
        return texts.problem_of_text(text, may_be_blank=self.allow_blank)
