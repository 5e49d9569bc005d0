from __future__ import annotations

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesCheckboxFilter
from unfold.decorators import display

from accounts.admin import MODE_LABELS
from backoffice.base import ReadOnlyModelAdmin
from idempotency import keys
from idempotency.models import IdempotencyRecord

#: A UUID.
KEY_SHOWN_CHARACTERS = 36


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(ReadOnlyModelAdmin):
    """The request and answer of each Idempotency-Key. The stored body is hidden: the resource says more."""

    denied_lookups = frozenset({"response_body", "response_headers"})
    list_display = (
        "created_at",
        "show_key",
        "merchant",
        "show_mode",
        "show_request",
        "response_status",
        "show_type",
    )
    list_display_links = ("created_at", "show_key")
    list_select_related = ("merchant",)
    list_filter = (("mode", ChoicesCheckboxFilter), ("merchant", AutocompleteSelectFilter))
    search_fields = ("key__exact",)
    search_help_text = "The whole Idempotency-Key"
    fields = (
        "key",
        "merchant",
        "show_mode",
        "show_request",
        "show_resource",
        "response_status",
        "created_at",
        "response_purged_at",
        "fingerprint",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[IdempotencyRecord]:
        records: QuerySet[IdempotencyRecord] = super().get_queryset(request)
        # Up to 64 kB a row, and not shown.
        return records.defer("response_body", "response_headers")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[IdempotencyRecord], search_term: str
    ) -> tuple[QuerySet[IdempotencyRecord], bool]:
        del request
        # A key may hold spaces and quotes. The admin would split it into words.
        return (queryset.filter(key=keys.parse_address(search_term)) if search_term else queryset), False

    @admin.display(description="Key", ordering="key")
    def show_key(self, record: IdempotencyRecord) -> str:
        """The beginning of a long key: a whole one would be wider than any screen."""
        return Truncator(record.key).chars(KEY_SHOWN_CHARACTERS)

    @display(description="Mode", label=MODE_LABELS)
    def show_mode(self, record: IdempotencyRecord) -> str:
        return record.get_mode_display()

    @admin.display(description="Request")
    def show_request(self, record: IdempotencyRecord) -> str:
        return f"{record.method} {record.path}".strip() or "-"

    @admin.display(description="Resource")
    def show_resource(self, record: IdempotencyRecord) -> SafeString | str:
        return self._link(record, f"{record.resource_type} {record.resource_id}")

    @admin.display(description="Resource")
    def show_type(self, record: IdempotencyRecord) -> SafeString | str:
        """Without the id: in a list it would take five lines."""
        return self._link(record, record.resource_type)

    def _link(self, record: IdempotencyRecord, text: str) -> SafeString | str:
        """Link to the page of the resource, if the admin has one."""
        if record.resource_id is None:
            return "-"
        site = self.admin_site
        pages = [site.get_model_admin(model).opts for model in apps.get_models() if site.is_registered(model)]
        for page in pages:
            if page.model_name == record.resource_type:
                url = reverse(f"{site.name}:{page.app_label}_{page.model_name}_change", args=[record.resource_id])
                return format_html('<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>', url, text)
        return text
