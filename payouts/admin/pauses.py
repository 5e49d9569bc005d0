"""Pauses in the admin: the list, and the pages to begin and to end a pause."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminSelectWidget

from accounts.fields import MerchantField
from backoffice.base import AuditedModelAdmin
from payouts import errors
from payouts.admin import actions
from payouts.engine import pauses
from payouts.models import Pause


class PauseForm(forms.ModelForm):
    EVERYTHING, PROVIDER, MERCHANT = "everything", "provider", "merchant"

    #: Not chosen in advance: a merchant is easily paused alone, and everything should never be by mistake.
    scope = forms.ChoiceField(
        label="What to pause",
        choices=[(EVERYTHING, "Everything"), (PROVIDER, "One provider"), (MERCHANT, "One merchant")],
        widget=UnfoldAdminRadioSelectWidget,
    )
    provider = forms.ChoiceField(
        required=False,
        choices=lambda: [("", "Select value"), *((name, name) for name in pauses.providers())],
        widget=UnfoldAdminSelectWidget,
    )
    reason = actions.reason_field("For the others who operate this installation. Merchants do not see it.")

    class Meta:
        model = Pause
        fields = ("merchant",)
        field_classes: ClassVar = {"merchant": MerchantField}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        chosen = cleaned.get("scope")
        for field, nothing in ((self.PROVIDER, ""), (self.MERCHANT, None)):
            if field != chosen:
                # The field is hidden, so its value is not meant.
                cleaned[field] = nothing
                self.errors.pop(field, None)
            elif not cleaned.get(field) and field not in self.errors:
                self.add_error(field, "This field is required.")
        return cleaned


class PauseAdmin(AuditedModelAdmin):
    """Pause and resume the sending. A pause is never edited: it has an end."""

    list_display = ("show_scope", "show_state", "reason", "actor", "created_at", "ended_by", "ended_at")
    list_select_related = ("merchant",)
    list_filter = (("merchant", AutocompleteSelectFilter),)
    list_fullwidth = True
    # What is in force first.
    ordering: ClassVar = [F("ended_at").desc(nulls_first=True), "-id"]
    sortable_by: ClassVar[Sequence[str]] = ()
    autocomplete_fields = ("merchant",)
    add_fieldsets = ((None, {"fields": ("scope", "provider", "merchant", "reason")}),)
    fieldsets = (
        (None, {"fields": ("show_scope", "show_state", "reason")}),
        ("Life", {"fields": ("actor", "created_at", "ended_by", "ended_at")}),
    )
    conditional_fields: ClassVar = {"provider": "scope == 'provider'", "merchant": "scope == 'merchant'"}
    add_form_template = "admin/payouts/pause/begin.html"
    actions_detail: ClassVar = ["resume"]

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del obj
        return bool(self.has_view_permission(request) and actions.may_operate(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_operate_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del request, obj
        return False

    def get_form(
        self, request: HttpRequest, obj: Pause | None = None, *args: Any, **kwargs: Any
    ) -> type[forms.ModelForm[Pause]]:
        if obj is None:
            kwargs["form"] = PauseForm
        form: type[forms.ModelForm[Pause]] = super().get_form(request, obj, *args, **kwargs)
        return form

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:
        return (*self.list_display, "show_resume") if self.has_operate_permission(request) else self.list_display

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        pause = self.get_object(request, object_id)
        if pause is None or pause.ended_at is not None:
            return []
        buttons: list[Any] = super().get_actions_detail(request, object_id)
        return buttons

    @admin.display(description="What")
    def show_scope(self, pause: Pause) -> str:
        name = str(_scope_of(pause))
        return name[0].upper() + name[1:]

    @display(description="State", label={"In force": "warning"})
    def show_state(self, pause: Pause) -> str:
        return "In force" if pause.ended_at is None else "Ended"

    @admin.display(description="")
    def show_resume(self, pause: Pause) -> SafeString | str:
        if pause.ended_at is not None:
            return ""
        address = reverse("admin:payouts_pause_resume", args=[pause.pk])
        return format_html(
            '<a href="{}" class="font-medium text-primary-600 dark:text-primary-500">Resume</a>', address
        )

    def save_form(self, request: HttpRequest, form: forms.ModelForm[Pause], change: Any) -> Pause:
        del change
        form.save(commit=False)
        wanted = form.cleaned_data
        scope = pauses.Scope(merchant=wanted["merchant"], provider=wanted["provider"])
        return pauses.pause(scope, actor=actions.actor_of(request), reason=wanted["reason"])

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: Any) -> None:
        """Nothing is left to do: save_form has written it."""

    def response_add(self, request: HttpRequest, obj: Pause, post_url_continue: str | None = None) -> HttpResponse:
        del post_url_continue
        self.message_user(request, f"Paused: {_scope_of(obj)}. What is under way ends as usual.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:payouts_pause_changelist"))

    @action(description="Resume", icon="play_arrow", permissions=["operate"], variant=ActionVariant.PRIMARY)
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        pause: Pause | None = self.get_object(request, object_id)
        if pause is None:
            raise Http404
        if request.method != "POST":
            return self._confirm(request, pause)
        with actions.refusals_as_messages(self, request):
            with transaction.atomic():
                _require_in_force(pause)
                pauses.resume(_scope_of(pause), actor=actions.actor_of(request))
                self.log_change(request, pause, "Resumed.")
            self.message_user(request, f"Resumed: {_scope_of(pause)}.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:payouts_pause_changelist"))

    def _confirm(self, request: HttpRequest, pause: Pause) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Resume",
            "opts": self.opts,
            "original": pause,
            "pause": pause,
            "scope": self.show_scope(pause),
            "back": reverse("admin:payouts_pause_change", args=[pause.pk]),
        }
        return TemplateResponse(request, "admin/payouts/pause/resume.html", context)


def _require_in_force(pause: Pause) -> None:
    """Refuse if this pause has ended: resuming would end a newer one of its scope. Locks this pause."""
    if Pause.objects.select_for_update().active().filter(pk=pause.pk).first() is None:
        raise errors.NotPaused


def _scope_of(pause: Pause) -> pauses.Scope:
    return pauses.Scope(merchant=pause.merchant, provider=pause.provider)
