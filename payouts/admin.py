"""Payouts to look at, with all that happened to them. Nothing here changes one."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    DropdownFilter,
    RangeDateFilter,
)
from unfold.decorators import display

from accounts.admin import MODE_LABELS, ReadOnly
from payouts import money
from payouts.models import Payout, PayoutAttempt, PayoutTransition
from payouts.states import PayoutStatus

STATUS_LABELS = {
    PayoutStatus.PROCESSING.label: "info",
    PayoutStatus.SUBMITTED.label: "info",
    PayoutStatus.UNKNOWN.label: "warning",
    PayoutStatus.REQUIRES_ATTENTION.label: "danger",
    PayoutStatus.PAID.label: "success",
    PayoutStatus.FAILED.label: "danger",
    PayoutStatus.RETURNED.label: "warning",
}


class CurrencyFilter(DropdownFilter):
    """Every currency there is: to ask which of them occur would read the whole table."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        del request, model_admin
        return [(code, code) for code in sorted(money.CURRENCY_DECIMALS)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payout]) -> QuerySet[Payout]:
        del request
        return queryset.filter(currency=self.value()) if self.value() else queryset


class CreatedFilter(RangeDateFilter):
    """From one day to another, both included, in UTC."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Payout]) -> QuerySet[Payout]:
        del request
        if first := self._day("from"):
            queryset = queryset.filter(created_at__gte=datetime.combine(first, time.min, UTC))
        if last := self._day("to"):
            queryset = queryset.filter(created_at__lt=datetime.combine(last, time.min, UTC) + timedelta(days=1))
        return queryset

    def _day(self, end: str) -> date | None:
        try:
            day = date.fromisoformat(self.used_parameters.get(f"{self.parameter_name}_{end}", ""))
        except ValueError:
            return None
        return day if day < date.max else None


class HistoryInline(TabularInline):
    """Rows that the platform wrote, oldest first."""

    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        del request, obj
        return False


class TransitionInline(HistoryInline):
    model = PayoutTransition
    verbose_name_plural = "History"
    fields = ("created_at", "show_from", "show_to", "actor", "reason")
    readonly_fields = fields
    ordering: ClassVar[Sequence[str]] = ("id",)

    @admin.display(description="From")
    def show_from(self, transition: PayoutTransition) -> str:
        return PayoutStatus(transition.from_status).label if transition.from_status else "-"

    @admin.display(description="To")
    def show_to(self, transition: PayoutTransition) -> str:
        return transition.get_to_status_display()


class AttemptInline(HistoryInline):
    model = PayoutAttempt
    verbose_name_plural = "Attempts"
    fields = ("number", "kind", "outcome", "code", "message", "started_at", "finished_at")
    readonly_fields = fields
    ordering: ClassVar[Sequence[str]] = ("number",)


@admin.register(Payout)
class PayoutAdmin(ReadOnly):
    unsearchable = frozenset({"lease_token"})
    list_display = ("created_at", "id", "merchant", "show_amount", "show_status", "show_mode", "reference")
    list_display_links = ("created_at", "id")
    list_select_related = ("merchant",)
    list_filter = (
        ("status", ChoicesCheckboxFilter),
        ("mode", ChoicesCheckboxFilter),
        CurrencyFilter,
        ("merchant", AutocompleteSelectFilter),
        ("created_at", CreatedFilter),
    )
    search_fields = ("id",)
    search_help_text = "Payout id, the whole reference or Idempotency-Key, or part of a merchant's name"
    fieldsets = (
        (None, {"fields": ("show_amount", "show_status", "merchant", "show_mode", "show_recipient")}),
        ("From the merchant", {"fields": ("reference", "comment", "idempotency_key", "show_metadata")}),
        ("From the provider", {"fields": ("provider", "provider_reference", "failure_code", "failure_message")}),
        (
            "Times",
            {"fields": ("created_at", "updated_at", "first_sent_at", "due_at", "lease_expires_at", "deleted_at")},
        ),
    )
    inlines = (TransitionInline, AttemptInline)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Payout], search_term: str
    ) -> tuple[QuerySet[Payout], bool]:
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            return queryset.filter(id=uuid.UUID(term)), False
        except ValueError:
            pass
        found = Q(reference=term) | Q(idempotency_key=term) | Q(merchant__name__icontains=term)
        return queryset.filter(found), False

    @admin.display(description="Amount")
    def show_amount(self, payout: Payout) -> str:
        return f"{money.format_amount(payout.amount, payout.currency)} {payout.currency}"

    @display(description="Status", label=STATUS_LABELS)
    def show_status(self, payout: Payout) -> str:
        return payout.get_status_display()

    @display(description="Mode", label=MODE_LABELS)
    def show_mode(self, payout: Payout) -> str:
        return payout.get_mode_display()

    @admin.display(description="Recipient")
    def show_recipient(self, payout: Payout) -> SafeString:
        return _lines(payout.recipient_details)

    @admin.display(description="Metadata")
    def show_metadata(self, payout: Payout) -> SafeString | str:
        return _lines(payout.metadata) or "-"


def _lines(values: dict[str, Any]) -> SafeString:
    rows = ((name.replace("_", " "), value) for name, value in values.items())
    return format_html_join("", '<div><span class="text-subtle">{}:</span> {}</div>', rows)
