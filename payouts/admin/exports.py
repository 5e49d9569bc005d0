"""Admin page of exports: who exported which payouts. Only merchants can download the files."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from accounts.admin import MODE_LABELS
from backoffice.base import ReadOnlyModelAdmin
from payouts.models import Export, ExportStatus

STATUS_LABELS = {
    ExportStatus.RUNNING.label: "info",
    ExportStatus.COMPLETED.label: "success",
    ExportStatus.FAILED.label: "danger",
    ExportStatus.CANCELED.label: "warning",
}


class ExportAdmin(ReadOnlyModelAdmin):
    # Ids rise with time.
    list_display = (
        "created_at", "merchant", "actor", "kind", "format", "show_mode", "show_status", "rows_count", "finished_at",
    )  # fmt: skip
    list_select_related = ("merchant",)
    list_filter = (("merchant", AutocompleteSelectFilter),)
    fieldsets = (
        (
            None,
            {"fields": ("id", "merchant", "show_mode", "actor", "kind", "format", "bom", "show_filters", "ordering")},
        ),
        ("What was made", {"fields": ("show_status", "rows_count", "show_amounts", "size_bytes", "sha256", "error")}),
        ("Times", {"fields": ("created_at", "started_at", "finished_at", "expires_at", "attempts_count")}),
    )
    denied_lookups: ClassVar = frozenset({"lease_token", "filters", "amounts"})

    @display(description="Status", label=STATUS_LABELS)
    def show_status(self, export: Export) -> str:
        return export.get_status_display()

    @display(description="Mode", label=MODE_LABELS)
    def show_mode(self, export: Export) -> str:
        return export.get_mode_display()

    @admin.display(description="Filters")
    def show_filters(self, export: Export) -> SafeString | str:
        return _lines(export.filters) or "none"

    @admin.display(description="Amounts")
    def show_amounts(self, export: Export) -> SafeString | str:
        return _lines(export.amounts) or "-"


def _lines(values: dict[str, object]) -> SafeString:
    rows = ((name.replace("_", " "), value) for name, value in values.items())
    return format_html_join("", '<div><span class="text-subtle">{}:</span> {}</div>', rows)
