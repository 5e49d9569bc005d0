"""Providers in the admin: their callbacks and their circuits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import BinaryField, F, Func, Max, QuerySet, Value
from django.db.models.functions import Length
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RadioFilter
from unfold.decorators import display

from backoffice.base import ReadOnlyModelAdmin
from payouts.models import CallbackResult, CircuitQuerySet, LaneCircuit, ProviderCallback, ProviderCircuit
from rest import ids

#: More than any provider's report has. A longer body is not meant for people.
BODY_SHOWN_BYTES: Final = 4096
#: A result has no index, so only the newest callbacks are searched. Older ones are found by their payout.
SEARCHED_MAX: Final = 100_000

#: Names in one cell.
LANES_SHOWN_MAX: Final = 10

RESULT_LABELS = {
    CallbackResult.APPLIED.label: "success",
    CallbackResult.CONTRADICTED.label: "danger",
    CallbackResult.NO_PAYOUT.label: "warning",
    CallbackResult.UNREADABLE.label: "warning",
    "Not applied yet": "info",
}


def with_beginning(callbacks: QuerySet[ProviderCallback]) -> QuerySet[ProviderCallback]:
    """Read as much of each body as is shown, and its whole length."""
    beginning = Func(F("body"), Value(1), Value(BODY_SHOWN_BYTES), function="substring", output_field=BinaryField())
    return callbacks.defer("body").annotate(beginning=beginning, body_length=Length("body"))


def show_body(callback: ProviderCallback) -> SafeString:
    """Show the body as text, escaped: it comes from outside."""
    told: Any = callback
    text = bytes(told.beginning).decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    left_out = told.body_length - BODY_SHOWN_BYTES
    # The theme has no classes for lines that wrap like this.
    wrapped = "white-space: pre-wrap; overflow-wrap: anywhere"
    return format_html(
        '<pre class="max-h-80 max-w-2xl overflow-auto text-xs" style="{}">{}{}</pre>',
        wrapped,
        text,
        f"\n... and {left_out} bytes more" if left_out > 0 else "",
    )


def show_result(callback: ProviderCallback) -> str:
    """Return the result of the callback as a label."""
    return callback.get_result_display() if callback.applied_at else "Not applied yet"


class ResultFilter(RadioFilter):
    """Filter by result, of the newest callbacks only: finding rare results would read the whole table."""

    title = f"result (of the newest {SEARCHED_MAX:,})"
    parameter_name = "result"
    WAITING = "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        del request, model_admin
        return [(self.WAITING, "Not applied yet"), *CallbackResult.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ProviderCallback]) -> QuerySet[ProviderCallback]:
        del request
        if self.value() == self.WAITING:
            return queryset.filter(applied_at__isnull=True)
        if not self.value():
            return queryset
        newest = ProviderCallback.objects.aggregate(newest=Max("id"))["newest"] or 0
        return queryset.filter(result=self.value(), id__gt=newest - SEARCHED_MAX)


class AlarmFilter(RadioFilter):
    """Callbacks that wait for an operator: the condition of the index `provider_callback_alarming`."""

    title = "operator"
    parameter_name = "needs_operator"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        del request, model_admin
        return [("yes", "Needs an operator")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ProviderCallback]) -> QuerySet[ProviderCallback]:
        del request
        return queryset.filter(alarmed_at__isnull=False) if self.value() == "yes" else queryset


class ProviderCallbackAdmin(ReadOnlyModelAdmin):
    list_display = ("received_at", "provider", "event_id", "show_result", "applied_at", "show_payout")
    list_filter = (AlarmFilter, ResultFilter)
    search_fields = ("payout__id",)
    search_help_text = "The whole id of a payout"
    fieldsets = (
        (None, {"fields": ("provider", "event_id", "received_at", "show_result", "applied_at", "show_payout")}),
        ("Alarm", {"fields": ("alarmed_at", "cleared_at", "cleared_by", "cleared_reason")}),
        ("Content", {"fields": ("show_body",)}),
    )
    denied_lookups = frozenset({"body"})

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProviderCallback]:
        return with_beginning(super().get_queryset(request))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ProviderCallback], search_term: str
    ) -> tuple[QuerySet[ProviderCallback], bool]:
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        payout_id = ids.parse(term)
        return (queryset.none() if payout_id is None else queryset.filter(payout=payout_id)), False

    @display(description="Result", label=RESULT_LABELS)
    def show_result(self, callback: ProviderCallback) -> str:
        return show_result(callback)

    @admin.display(description="Payout")
    def show_payout(self, callback: ProviderCallback) -> SafeString | str:
        if callback.payout_id is None:
            return "-"
        address = reverse("admin:payouts_payout_change", args=[callback.payout_id])
        return format_html(
            '<a href="{}" class="text-primary-600 dark:text-primary-500">{}</a>', address, callback.payout_id
        )

    @admin.display(description="Body")
    def show_body(self, callback: ProviderCallback) -> SafeString:
        return show_body(callback)


class ProviderCircuitAdmin(ReadOnlyModelAdmin):
    """There is a row for each provider that has ever failed."""

    list_display = ("provider", "show_state", "failures_count", "opened_at", "retry_at", "show_lanes")
    list_display_links = None
    ordering: ClassVar = ("provider",)
    fields = ("provider", "show_state", "failures_count", "opened_at", "retry_at", "sends_max", "show_lanes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProviderCircuit]:
        circuits: CircuitQuerySet = super().get_queryset(request)
        return circuits.with_state()

    @display(
        description="State",
        label={"Open": "danger", "To be tried": "warning", "Recovering": "info", "Closed": "success"},
    )
    def show_state(self, circuit: ProviderCircuit) -> str:
        if circuit.retry_at is None:
            return "Closed" if circuit.sends_max is None else "Recovering"
        return "Open" if getattr(circuit, "is_open") else "To be tried"  # noqa: B009 - annotated

    @admin.display(description="Merchants held for their own failures")
    def show_lanes(self, circuit: ProviderCircuit) -> str:
        held = LaneCircuit.objects.filter(provider=circuit.provider, opened_at__isnull=False).order_by("opened_at")
        names = list(held.values_list("merchant__name", flat=True)[: LANES_SHOWN_MAX + 1])
        shown = ", ".join(names[:LANES_SHOWN_MAX]) or "-"
        return f"{shown} and more" if len(names) > LANES_SHOWN_MAX else shown
