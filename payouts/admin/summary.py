"""The summary in the admin: the same as GET /api/payouts/summary/, for operators, who have no API key.

The form passes the parameters of the API to the functions that the API calls. The form validates none of them, so that
the two always agree.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from accounts.fields import MerchantField
from accounts.models import Merchant, Mode
from backoffice.base import ReadOnlyModelAdmin
from payouts.filters import query
from payouts.filters.filterset import FILTERS, PAIRS, SEVERAL
from payouts.filters.selection import Selection
from payouts.models import Payout
from payouts.states import PayoutStatus
from payouts.summaries import parameters, summarize
from postgres.replica import routing
from rest.parameters import Parameters, ParametersRefused
from rest.refusals import Refusal

METHODS: Final = ("GET", "HEAD")
#: Headings of the figures of a row.
HEADINGS: Final = {"count": "Count", "amount": "Sum", "average": "Average", "min": "Least", "max": "Greatest"}


class SeveralField(forms.Field):
    """One choice or several. A typed address may separate them by commas."""

    def prepare_value(self, value: Any) -> list[str]:
        return [part.strip() for item in value or () for part in item.split(",")]


def _text(example: str = "", help_text: str = "") -> forms.Field:
    widget = UnfoldAdminTextInputWidget(attrs={"placeholder": example})
    return forms.Field(required=False, widget=widget, help_text=help_text)


def _checkboxes(label: str, choices: list[tuple[str, str]], **options: Any) -> forms.Field:
    widget = UnfoldAdminCheckboxSelectMultipleWidget(choices=choices)
    return SeveralField(label=label, required=False, widget=widget, **options)


class SummaryForm(forms.Form):
    """Merchant, mode, and the parameters of the API by their names."""

    merchant = MerchantField(Merchant.objects.all(), widget=AutocompleteSelect(Payout.merchant.field, admin.site))
    mode = forms.ChoiceField(choices=Mode.choices, initial=Mode.LIVE, widget=UnfoldAdminSelectWidget)
    group_by = _checkboxes(
        "Group by",
        [(name, name.capitalize()) for name in parameters.CHOICES],
        initial=sorted(summarize.DEFAULT_GROUPS),
        help_text="By currency in any case.",
    )
    timezone = _text("Europe/Berlin", "Where a day begins. UTC if you leave it out.")

    def __init__(self, data: QueryDict | None) -> None:
        super().__init__(data)
        self.fields |= _fields_of_filters()
        # Show every filter that narrows the figures.
        for name in filter(query.pair_name, data or ()):
            self.fields[name] = _text()

    def add_refusal(self, name: str | None, message: str) -> None:
        """Show why the parameter was refused: at its field, or above the form."""
        if name in self.fields:
            self.add_error(name, message)
        else:
            self.add_error(None, f"{name}: {message}" if name else message)


def _fields_of_filters() -> dict[str, forms.Field]:
    texts = {
        # The other examples show what to write.
        name: _text(one.example, one.help_text if name == "search" else "")
        for name, one in FILTERS.items()
        if name not in {SEVERAL, PAIRS}
    }
    return {SEVERAL: _checkboxes("Status", PayoutStatus.choices), **texts}


class SummaryPage(ReadOnlyModelAdmin):
    """The page, and its button on the list."""

    actions_list: ClassVar = ["summary"]

    @action(description="Summary", icon="functions", permissions=["view"])
    def summary(self, request: HttpRequest) -> HttpResponse:
        if request.method not in METHODS:
            return HttpResponseNotAllowed(METHODS)
        form = SummaryForm(request.GET or None)
        context = {
            **self.admin_site.each_context(request),
            "title": "Summary",
            "opts": self.opts,
            "form": form,
            "tables": _tables(form, request.GET) if form.is_valid() else None,
            "back": reverse("admin:payouts_payout_changelist"),
        }
        return TemplateResponse(request, "admin/payouts/payout/summary.html", context)


def _tables(form: SummaryForm, given: QueryDict) -> list[dict[str, Any]] | None:
    """Return rows and totals, or None if a parameter was refused, as the form shows."""
    filled_in = _filled_in(given)
    merchant, mode = form.cleaned_data["merchant"], form.cleaned_data["mode"]
    try:
        filters = query.filters_in(filled_in, known=parameters.PARAMETERS, repeatable=parameters.REPEATABLE)
        selection = Selection.of(filters, merchant_id=merchant.pk, mode=mode)
        asked_for = parameters.grouping_of(filled_in)
        summary = routing.read(lambda: summarize.summarize(selection, asked_for))
    except ParametersRefused as refused:
        for name, messages in refused.message_dict.items():
            for message in messages:
                form.add_refusal(name, message)
    except Refusal as refusal:
        form.add_refusal(refusal.field, refusal.message)
    else:
        rows = _table(f"By {' and '.join(asked_for.columns)}", asked_for.columns, summary["results"])
        return [_table("Totals", ("currency",), summary["totals"]), rows]
    return None


def _filled_in(given: QueryDict) -> Parameters:
    """Return the parameters of the API without the empty fields that a browser sends."""
    filled_in = {name: [value for value in values if value.strip()] for name, values in given.lists()}
    return MultiValueDict(
        {name: values for name, values in filled_in.items() if values and name not in {"merchant", "mode"}}
    )


def _table(title: str, groups: tuple[str, ...], rows: list[Any]) -> dict[str, Any]:
    """Return the template's table: groups of the rows apart from their figures."""
    return {
        "title": title,
        "groups": [name.capitalize() for name in groups],
        "headings": list(HEADINGS.values()),
        "rows": [([row[name] for name in groups], [row[name] for name in HEADINGS]) for row in rows],
    }
