"""What an operator does with a callback that no payout explains: clear its alarm, with a reason."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action

from payouts import operators
from payouts.admin import actions, providers
from payouts.models import ProviderCallback


class ClearForm(forms.Form):
    reason = actions.reason_field("What you found out, such as the bank's answer. It is kept for ever, with your name.")


class OperatedCallbacks(providers.ProviderCallbackAdmin):
    """The list and the page of callbacks, with a button on the page of one that is alarming."""

    actions_detail: ClassVar = ["clear"]

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        del obj
        return bool(self.has_view_permission(request) and actions.may_operate(request))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        callback = self.get_object(request, object_id)
        if callback is None or callback.alarmed_at is None or not self.has_operate_permission(request):
            return []
        buttons: list[Any] = super().get_actions_detail(request, object_id)
        return buttons

    @action(description="Clear alarm", icon="done_all", permissions=["operate"])
    def clear(self, request: HttpRequest, object_id: str) -> HttpResponse:
        callback: ProviderCallback | None = self.get_object(request, object_id)
        if callback is None:
            raise Http404
        form = ClearForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._show(request, callback, form)
        with actions.refusals_as_messages(self, request):
            with transaction.atomic():
                reason = form.cleaned_data["reason"]
                operators.clear_callback(callback, actor=actions.actor_of(request), reason=reason)
                self.log_change(request, callback, f"Clear alarm: {reason}")
            self.message_user(request, "The alarm is cleared.", messages.SUCCESS)
        return HttpResponseRedirect(_address_of(callback))

    def _show(self, request: HttpRequest, callback: ProviderCallback, form: ClearForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Clear alarm",
            "opts": self.opts,
            "original": callback,
            "callback": callback,
            "result": providers.show_result(callback),
            "form": form,
            "back": _address_of(callback),
        }
        return TemplateResponse(request, "admin/payouts/callback/clear.html", context)


def _address_of(callback: ProviderCallback) -> str:
    return reverse("admin:payouts_providercallback_change", args=[callback.pk])
