from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesCheckboxFilter
from unfold.decorators import display

from accounts.admin import MODE_LABELS, ReadOnly
from idempotency.models import IdempotencyRecord


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnly):
    """What was answered to which Idempotency-Key. The stored body stays out: the payout's page has what it says."""

    unsearchable = frozenset({"response_body", "response_headers"})
    list_display = ("key", "merchant", "show_mode", "response_status", "created_at")
    list_select_related = ("merchant",)
    list_filter = (("mode", ChoicesCheckboxFilter), ("merchant", AutocompleteSelectFilter))
    search_fields = ("key__exact",)
    search_help_text = "The whole Idempotency-Key"
    fields = ("key", "merchant", "show_mode", "created_at", "response_status", "fingerprint")

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdempotencyRecord]:
        records: QuerySet[IdempotencyRecord] = super().get_queryset(request)
        # Up to 64 kB a row that nobody looks at.
        return records.defer("response_body", "response_headers")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[IdempotencyRecord], search_term: str
    ) -> tuple[QuerySet[IdempotencyRecord], bool]:
        del request
        # A key may hold spaces and quotes, which the admin would take for two words.
        return (queryset.filter(key=search_term) if search_term else queryset), False

    @display(description="Mode", label=MODE_LABELS)
    def show_mode(self, record: IdempotencyRecord) -> str:
        return record.get_mode_display()
