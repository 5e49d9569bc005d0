"""The shape of exports in the API."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from accounts.models import Mode
from payouts.filters import filterset, query
from payouts.filters.filterset import FILTERS, PAIRS, SEVERAL
from payouts.filters.selection import ORDERINGS
from payouts.models import Export, ExportFormat, ExportKind, ExportStatus
from rest.serializers import StrictSerializer


class FiltersField(serializers.Field[dict[str, Any], Any, dict[str, Any], Any]):
    """The filters of the list as an object. What they refuse there is refused here, by the same code."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Send an object.", code="not_an_object")
        # As everywhere, null means that the filter is absent.
        data = {name: value for name, value in data.items() if value is not None or name not in FILTERS}
        problems = {name: problem for name, value in data.items() if (problem := _problem_of(name, value))}
        if problems:
            raise serializers.ValidationError(problems)
        filters = query.filters_in(query.parameters_of(data))
        filterset.parse(filters)
        return filters

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        return value


def _problem_of(name: str, value: Any) -> serializers.ErrorDetail | None:
    """Return the type error of a filter's value, if any: a query parameter is always text."""
    texts = [value]
    if name == SEVERAL and isinstance(value, list):
        texts = value
    elif name == PAIRS:
        if not isinstance(value, dict):
            return serializers.ErrorDetail("Send an object.", code="not_an_object")
        texts = list(value.values())
    if not texts:
        return serializers.ErrorDetail("Give it a value or leave it out.", code="blank")
    if not all(isinstance(text, str) for text in texts):
        return serializers.ErrorDetail("Send it as a string.", code="not_a_string")
    return None


class BomField(serializers.BooleanField):
    """True or false. REST framework would take "yes" and 1 as well."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            raise serializers.ValidationError("Send true or false.", code="not_a_boolean")
        return data


def refuse_bom(file_format: str) -> None:
    """Raise ValidationError for a byte order mark in a format that has none."""
    if file_format != ExportFormat.CSV:
        message = "Only CSV can begin with a byte order mark: leave bom out, or take the format csv."
        raise serializers.ValidationError({"bom": [serializers.ErrorDetail(message, code="bom_not_allowed")]})


@extend_schema_serializer(component_name="CreateExport")
class ExportWriteSerializer(StrictSerializer):
    """Which payouts the export is to have, in which order, and as which kind of file."""

    format = serializers.ChoiceField(choices=ExportFormat.choices, default=ExportFormat.CSV)
    filters = FiltersField(default=dict)
    ordering = serializers.ChoiceField(choices=ORDERINGS, default=ORDERINGS[0])
    bom = BomField(
        default=False, help_text="With format csv: begin with the UTF-8 byte order mark, for spreadsheets that need it."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["bom"]:
            refuse_bom(attrs["format"])
        return attrs


class ExportSerializer(serializers.Serializer[Any]):
    """An export: how far it is, and what it adds up to."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=ExportStatus.choices)
    kind = serializers.ChoiceField(
        choices=ExportKind.choices, help_text="A `stream` was sent while it was made; a `job` can be downloaded."
    )
    mode = serializers.ChoiceField(choices=Mode.choices)
    format = serializers.ChoiceField(choices=ExportFormat.choices)
    filters = FiltersField()
    ordering = serializers.ChoiceField(choices=ORDERINGS)
    bom = serializers.BooleanField(help_text="Whether the CSV begins with a byte order mark.")
    rows = serializers.IntegerField(source="rows_count", help_text="Payouts in it; so far, while it is running.")
    amounts = serializers.DictField(
        child=serializers.CharField(), help_text="Once it is completed: the sum of each currency."
    )
    bytes = serializers.IntegerField(source="size_bytes", help_text="Size of the file. 0 until it is completed.")
    sha256 = serializers.CharField(help_text="SHA-256 of the whole file, uncompressed. Empty until it is completed.")
    error = serializers.CharField(help_text="What went wrong, in a sentence; else empty.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Until when it is kept.")
    download_url = serializers.SerializerMethodField(
        help_text=(
            "Where to download it within the next 15 minutes. The link needs no API key, so keep it secret. Null "
            "unless there is something to download. Each answer has a new link."
        )
    )

    def get_download_url(self, export: Export) -> str | None:
        link: str | None = self.context["link_to"](export)
        return link
