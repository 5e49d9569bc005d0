"""Payouts, with all that happened to them. What an operator may do with one is in admin/actions.py.

The other models of this app are registered here as well, for Django looks into no other module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    DropdownFilter,
    RadioFilter,
    RangeDateFilter,
)
from unfold.decorators import display
from unfold.forms import PaginationInlineFormSet

from accounts.admin import MODE_LABELS
from accounts.models import Merchant
from payouts import money
from payouts.admin import actions, callbacks, exports, pauses, providers, summary
from payouts.engine import holds
from payouts.models import (
    Export,
    Pause,
    Payout,
    PayoutAttempt,
    PayoutQuerySet,
    PayoutTransition,
    ProviderCallback,
    ProviderCircuit,
)
from payouts.recipient_details import RecipientDetails
from payouts.states import PayoutStatus
from rest import ids, moments, texts

STATUS_LABELS = {
    PayoutStatus.PROCESSING.label: "info",
    PayoutStatus.SUBMITTED.label: "info",
    PayoutStatus.UNKNOWN.label: "warning",
    PayoutStatus.REQUIRES_ATTENTION.label: "danger",
    PayoutStatus.PAID.label: "success",
    PayoutStatus.FAILED.label: "danger",
    PayoutStatus.RETURNED.label: "warning",
}
CONTRADICTED_LABELS = {f"{label}, contradicted": "danger" for label in PayoutStatus.labels}

admin.site.register(Export, exports.ExportAdmin)
admin.site.register(Pause, pauses.PauseAdmin)
admin.site.register(ProviderCallback, callbacks.OperatedCallbacks)
admin.site.register(ProviderCircuit, providers.ProviderCircuitAdmin)


class NeedsOperatorFilter(RadioFilter):
    """What requires attention or is contradicted. PayoutAdmin.get_ordering then has the list in the index's order."""

    title = "operator"
    parameter_name = "needs_operator"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        del request, model_admin
        return [("yes", "Needs an operator")]

    def queryset(self, request: HttpRequest, queryset: PayoutQuerySet) -> PayoutQuerySet:
        del request
        return queryset.for_operator() if self.value() == "yes" else queryset


class CurrencyFilter(DropdownFilter):
    """Every currency that can be paid out: to ask which of them occur would read the whole table."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        del request, model_admin
        return [(code, code) for code in sorted(money.PAYABLE_CURRENCIES)]

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
        day = moments.parse_day(self.used_parameters.get(f"{self.parameter_name}_{end}", ""))
        return day if day is not None and day < date.max else None


class HistoryFormSet(PaginationInlineFormSet):
    """Pages of a history, oldest first. What is shown unasked is the last one, with what has just happened."""

    def get_page_num(self) -> int:
        asked = self.request.GET.get(self.get_pagination_key(), "")
        return int(asked) if re.fullmatch("[1-9][0-9]{0,5}", asked) else self.paginator.num_pages


class HistoryInline(TabularInline):
    """Rows that the platform wrote, oldest first."""

    formset = HistoryFormSet
    per_page = 50
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
    fields = ("number", "show_kind", "actor", "bank", "outcome", "code", "message", "started_at", "finished_at")
    readonly_fields = fields
    ordering: ClassVar[Sequence[str]] = ("number",)

    @admin.display(description="Kind")
    def show_kind(self, attempt: PayoutAttempt) -> str:
        """Most payouts have one reference in their life."""
        kind = attempt.get_kind_display()
        return kind if attempt.reference_number == 1 else f"{kind} (reference {attempt.reference_number})"


class CallbackInline(HistoryInline):
    model = ProviderCallback
    verbose_name_plural = "Callbacks"
    # With their bodies.
    per_page = 10
    fields = ("received_at", "event_id", "show_result", "applied_at", "show_body")
    readonly_fields = fields
    ordering: ClassVar[Sequence[str]] = ("id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProviderCallback]:
        return providers.with_beginning(super().get_queryset(request))

    @display(description="Result", label=providers.RESULT_LABELS)
    def show_result(self, callback: ProviderCallback) -> str:
        return providers.show_result(callback)

    @admin.display(description="Body")
    def show_body(self, callback: ProviderCallback) -> SafeString:
        return providers.show_body(callback)


_TIMES = (
    *("created_at", "updated_at", "completed_at", "first_sent_at", "due_at"),
    *("expires_at", "give_up_at", "deleted_at"),
)


@admin.register(Payout)
class PayoutAdmin(summary.SummaryPage, actions.OperatedPayouts):
    denied_lookups = frozenset({"lease_token"})
    list_display = ("created_at", "id", "merchant", "show_amount", "show_status", "show_mode", "reference")
    list_display_links = ("created_at", "id")
    list_select_related = ("merchant",)
    list_filter = (
        NeedsOperatorFilter,
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
        (
            "At the provider",
            {"fields": ("provider", "show_key", "provider_reference", "failure_code", "failure_message")},
        ),
        ("Times", {"fields": _TIMES}),
    )
    inlines = (TransitionInline, AttemptInline, CallbackInline)
    change_form_outer_before_template = "admin/payouts/payout/notices.html"

    def get_ordering(self, request: HttpRequest) -> Sequence[str]:
        # The longest waiting first. The partial index gives this order.
        if request.GET.get(NeedsOperatorFilter.parameter_name) == "yes":
            return ("updated_at",)
        return self.ordering

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["waiting"] = _waiting(context["original"])
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Payout], search_term: str
    ) -> tuple[QuerySet[Payout], bool]:
        del request
        term = search_term.strip()
        if not term:
            return queryset, False
        if (payout_id := ids.parse(term)) is not None:
            return queryset.filter(id=payout_id), False
        found = (
            Q(reference__in=texts.spellings(term))
            | Q(idempotency_key=term)
            | Q(merchant__in=Merchant.objects.named_like(term))
        )
        return queryset.filter(found), False

    @admin.display(description="Amount")
    def show_amount(self, payout: Payout) -> str:
        return f"{money.format_amount(payout.amount, payout.currency)} {payout.currency}"

    @display(description="Status", label=STATUS_LABELS | CONTRADICTED_LABELS)
    def show_status(self, payout: Payout) -> str:
        status = payout.get_status_display()
        return status if payout.contradicted_at is None else f"{status}, contradicted"

    @admin.display(description="Our reference")
    def show_key(self, payout: Payout) -> str:
        return payout.provider_key

    @display(description="Mode", label=MODE_LABELS)
    def show_mode(self, payout: Payout) -> str:
        return payout.get_mode_display()

    @admin.display(description="Recipient")
    def show_recipient(self, payout: Payout) -> SafeString | str:
        recipient: RecipientDetails = payout.recipient_details
        # A text is the merchant's own: the page escapes it.
        return recipient if isinstance(recipient, str) else _lines(recipient)

    @admin.display(description="Metadata")
    def show_metadata(self, payout: Payout) -> SafeString | str:
        return _lines(payout.metadata) or "-"


def _waiting(payout: Payout) -> dict[str, Any] | None:
    """Return why a pending payout is held up, and the pauses that hold it."""
    if payout.status != PayoutStatus.PENDING:
        return None
    reason = holds.Holds.read().reason_for(payout)
    if reason is None:
        return None
    active = Pause.objects.active().covering(payout.merchant_id, payout.provider).select_related("merchant")
    # Everything, then the merchant, then the provider: in the order in which the reason was chosen.
    return {"reason": reason.label, "pauses": sorted(active, key=lambda pause: (pause.provider, bool(pause.merchant)))}


def _lines(values: dict[str, Any]) -> SafeString:
    rows = ((name.replace("_", " "), value) for name, value in values.items())
    return format_html_join("", '<div><span class="text-subtle">{}:</span> {}</div>', rows)
