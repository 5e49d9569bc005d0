"""What an operator may do with a payout in the admin, and what all of an operator's pages keep to.

Each action has a page of its own that says what will happen and asks for the reason. Only its POST does something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.db import OperationalError, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from accounts.fields import LineField
from backoffice.base import ReadOnlyModelAdmin
from payouts import errors, limits, money, operators, recipient_details, states
from payouts.engine import leases, patience
from payouts.models import Payout
from payouts.states import PayoutStatus
from postgres.errors import is_busy
from rest.refusals import Refusal


def actor_of(request: HttpRequest) -> str:
    """Return how the user is named in the history."""
    return f"{operators.ACTOR_PREFIX}{request.user.get_username()}"


@contextmanager
def refusals_as_messages(model_admin: admin.ModelAdmin[Any], request: HttpRequest) -> Iterator[None]:
    """Show a refusal as a message on the next page. Nothing is written then."""
    try:
        yield
    except Refusal as refusal:
        model_admin.message_user(request, refusal.message, messages.ERROR)
    except OperationalError as error:
        if not is_busy(error):
            raise
        message = "Nothing was done: the database was busy with the same thing. Try again."
        model_admin.message_user(request, message, messages.ERROR)


def may_operate(request: HttpRequest) -> bool:
    """Tell whether the user may do more than look."""
    return request.user.has_perm("payouts.operate_payout")


def reason_field(help_text: str) -> forms.CharField:
    """Return the field that every action has."""
    return LineField(
        max_length=limits.MESSAGE_LENGTH_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=help_text,
    )


class ActionForm(forms.Form):
    reason = reason_field(
        "It should name the evidence, such as a line of the bank's statement. It is kept for ever, with your name; the "
        "merchant can read it."
    )
    #: Version of the payout when the page was opened.
    expected_version = forms.CharField(required=False, widget=forms.HiddenInput)


class ResolutionForm(ActionForm):
    evidence = LineField(
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "statement of 26 November, line 7"}),
        help_text="What shows it. Required unless the payout requires attention or its provider has said so itself.",
    )


def version_of(payout: Payout) -> str:
    """Return a text that changes with each change of the payout and each attempt."""
    return f"{payout.version}.{payout.attempts_count}"


@dataclass(frozen=True)
class OperatorAction:
    """What an operator may do with a payout."""

    #: The last part of the page's address, and the name of the method of the admin.
    name: str
    title: str
    is_possible: Callable[[Payout], bool]
    #: Takes the payout, `actor` and `reason`, and raises a Refusal.
    do: Callable[..., Payout]
    #: Message after success.
    done: str
    #: A mistake costs money.
    is_dangerous: bool = True
    #: Takes `evidence` as well.
    takes_evidence: bool = False


def _may_be_retried(payout: Payout) -> bool:
    retryable = payout.status in {PayoutStatus.FAILED, PayoutStatus.REQUIRES_ATTENTION}
    is_free = payout.contradicted_at is None and payout.deleted_at is None
    return retryable and is_free and patience.has_provider(payout.provider)


def _may_be_asked_about(payout: Payout) -> bool:
    return leases.status_without_ended(payout) in states.ASKABLE and patience.has_provider(payout.provider)


def _is_contradicted(payout: Payout) -> bool:
    return payout.contradicted_at is not None


RETRY: Final = OperatorAction(
    "retry",
    "Retry",
    _may_be_retried,
    operators.retry_payout,
    "The payout is pending again: it is sent as soon as nothing holds it back.",
)


def _resolution(target: PayoutStatus, done: str) -> OperatorAction:
    return OperatorAction(
        f"mark_{target.value}",
        f"Mark as {target.value}",
        partial(operators.may_be_resolved, target=target),
        partial(operators.resolve_payout, target=target),
        done,
        takes_evidence=True,
    )


MARK_PAID: Final = _resolution(PayoutStatus.PAID, "The payout is paid.")
MARK_FAILED: Final = _resolution(PayoutStatus.FAILED, "The payout has failed.")
MARK_RETURNED: Final = _resolution(PayoutStatus.RETURNED, "The payout is returned.")
ASK: Final = OperatorAction(
    "ask",
    "Ask provider now",
    _may_be_asked_about,
    operators.ask_about_payout,
    "The provider is being asked. Reload this page to see its answer among the attempts.",
    is_dangerous=False,
)
ACKNOWLEDGE: Final = OperatorAction(
    "acknowledge",
    "Acknowledge contradiction",
    _is_contradicted,
    operators.acknowledge_contradiction,
    "The contradiction is acknowledged. The status is as it was.",
)
ACTIONS: Final = (RETRY, MARK_PAID, MARK_FAILED, MARK_RETURNED, ASK, ACKNOWLEDGE)


def _form_of(action: OperatorAction) -> type[ActionForm]:
    return ResolutionForm if action.takes_evidence else ActionForm


class OperatedPayouts(ReadOnlyModelAdmin):
    """The actions, as buttons on the page of a payout; each where it is possible, for users who may."""

    actions_detail: ClassVar = [action.name for action in ACTIONS]

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.has_view_permission(request) and may_operate(request))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        if not self.has_operate_permission(request):
            return []
        payout = self.get_object(request, object_id)
        possible = {action.name for action in ACTIONS if payout is not None and action.is_possible(payout)}
        return [button for button in super().get_actions_detail(request, object_id) if button.path in possible]

    @action(description=RETRY.title, icon="replay", permissions=["operate"], variant=ActionVariant.DANGER)
    def retry(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, RETRY)

    @action(description=MARK_PAID.title, icon="check", permissions=["operate"])
    def mark_paid(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, MARK_PAID)

    @action(description=MARK_FAILED.title, icon="close", permissions=["operate"])
    def mark_failed(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, MARK_FAILED)

    @action(description=MARK_RETURNED.title, icon="undo", permissions=["operate"])
    def mark_returned(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, MARK_RETURNED)

    @action(description=ASK.title, icon="help", permissions=["operate"])
    def ask(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, ASK)

    @action(description=ACKNOWLEDGE.title, icon="done_all", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, ACKNOWLEDGE)

    def _act(self, request: HttpRequest, object_id: str, action: OperatorAction) -> HttpResponse:
        payout: Payout | None = self.get_object(request, object_id)
        if payout is None:
            raise Http404
        if request.method == "POST":
            form = _form_of(action)(request.POST)
            if form.is_valid():
                self._do(request, payout, action, **form.cleaned_data)
                return HttpResponseRedirect(_address_of(payout))
        elif action.is_possible(payout):
            form = _form_of(action)(initial={"expected_version": version_of(payout)})
        else:
            message = f"{action.title}: not possible as the payout is now."
            self.message_user(request, message, messages.ERROR)
            return HttpResponseRedirect(_address_of(payout))
        return self._show(request, payout, action, form)

    def _do(
        self, request: HttpRequest, payout: Payout, action: OperatorAction, *, expected_version: str, **stated: str
    ) -> None:
        with refusals_as_messages(self, request):
            with transaction.atomic():
                _require_unchanged(payout, expected_version)
                action.do(payout, actor=actor_of(request), **stated)
                self.log_change(request, payout, f"{action.title}: {stated['reason']}")
            self.message_user(request, action.done, messages.SUCCESS)

    def _show(self, request: HttpRequest, payout: Payout, action: OperatorAction, form: ActionForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": action.title,
            "opts": self.opts,
            "original": payout,
            "payout": payout,
            "amount": f"{money.format_amount(payout.amount, payout.currency)} {payout.currency}",
            "recipient": recipient_details.label(payout.recipient_details),
            "action": action,
            "form": form,
            "back": _address_of(payout),
        }
        return TemplateResponse(request, "admin/payouts/payout/action.html", context)


def _require_unchanged(payout: Payout, expected_version: str) -> None:
    """Refuse a decision from an outdated page. Locks the payout until the transaction ends.

    Another operator may have retried the payout since, or the provider may have reported more. This check also makes a
    form that is sent twice harmless.
    """
    current = Payout.objects.select_for_update().get(pk=payout.pk)
    if version_of(current) != expected_version:
        raise errors.PayoutChanged(
            "Nothing was done: something has happened to this payout since you opened the page. Look at it again."
        )


def _address_of(payout: Payout) -> str:
    return reverse("admin:payouts_payout_change", args=[payout.pk])
