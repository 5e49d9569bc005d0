"""What an operator may do with a payout in the admin, and what all of an operator's pages keep to.

Each act has a page of its own that says what will happen and asks for the reason. Only its POST does something.
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
from unfold.widgets import UnfoldAdminTextareaWidget

from accounts.fields import LineField
from backoffice.base import ReadOnlyModelAdmin
from payouts import attempts, errors, money, operators, recipient_details
from payouts.engine import claims
from payouts.models import Payout
from payouts.states import PayoutStatus
from postgres.errors import is_busy
from rest.refusals import Refusal


def actor_of(request: HttpRequest) -> str:
    """Return how the user is named in the history."""
    return f"{operators.ACTOR_PREFIX}{request.user.get_username()}"


@contextmanager
def telling_refusals(model_admin: admin.ModelAdmin[Any], request: HttpRequest) -> Iterator[None]:
    """Show a refusal as a message on the next page. Nothing was written then."""
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
    """Return the field that every act has."""
    return LineField(
        max_length=attempts.MESSAGE_LENGTH_MAX,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=help_text,
    )


class ActForm(forms.Form):
    reason = reason_field(
        "It should name the evidence, such as a line of the bank's statement. It is kept for ever, with your name; the "
        "merchant can read it."
    )
    #: What the payout was like when the page was opened.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)


def seen_in(payout: Payout) -> str:
    """Return what changes with every change of the payout, and with every word about it."""
    return f"{payout.version}.{payout.attempts_count}"


@dataclass(frozen=True)
class Act:
    """What an operator may do with a payout."""

    #: The last part of the page's address, and the name of the method of the admin.
    name: str
    title: str
    is_possible: Callable[[Payout], bool]
    #: Takes the payout, `actor` and `reason`, and raises a Refusal.
    do: Callable[..., Payout]
    #: What is told once it is done.
    done: str
    #: Done wrongly, it costs somebody money.
    is_dangerous: bool = True


def _may_be_retried(payout: Payout) -> bool:
    retryable = payout.status in {PayoutStatus.FAILED, PayoutStatus.REQUIRES_ATTENTION}
    return retryable and payout.contradicted_at is None and payout.deleted_at is None


def _may_be_marked_paid(payout: Payout) -> bool:
    return bool(operators.path_of_resolution(payout, PayoutStatus.PAID))


def _may_be_marked_failed(payout: Payout) -> bool:
    return bool(operators.path_of_resolution(payout, PayoutStatus.FAILED))


def _may_be_asked_about(payout: Payout) -> bool:
    return payout.status in claims.ASKABLE and payout.lease_token is None


def _is_contradicted(payout: Payout) -> bool:
    return payout.contradicted_at is not None


RETRY: Final = Act(
    "retry",
    "Retry",
    _may_be_retried,
    operators.retry_payout,
    "The payout is pending again: it is sent as soon as nothing holds it back.",
)
MARK_PAID: Final = Act(
    "mark_paid",
    "Mark as paid",
    _may_be_marked_paid,
    partial(operators.resolve_payout, target=PayoutStatus.PAID),
    "The payout is paid.",
)
MARK_FAILED: Final = Act(
    "mark_failed",
    "Mark as failed",
    _may_be_marked_failed,
    partial(operators.resolve_payout, target=PayoutStatus.FAILED),
    "The payout has failed.",
)
ASK: Final = Act(
    "ask",
    "Ask provider now",
    _may_be_asked_about,
    operators.ask_about_payout,
    "The provider is being asked. Reload this page to see its answer among the attempts.",
    is_dangerous=False,
)
ACKNOWLEDGE: Final = Act(
    "acknowledge",
    "Acknowledge contradiction",
    _is_contradicted,
    operators.acknowledge_contradiction,
    "The contradiction is acknowledged. The status is as it was.",
)
ACTS: Final = (RETRY, MARK_PAID, MARK_FAILED, ASK, ACKNOWLEDGE)


class OperatedPayouts(ReadOnlyModelAdmin):
    """The acts, as buttons on the page of a payout; each where it is possible, for users who may."""

    actions_detail: ClassVar = [act.name for act in ACTS]

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(self.has_view_permission(request) and may_operate(request))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        if not self.has_operate_permission(request):
            return []
        payout = self.get_object(request, object_id)
        possible = {act.name for act in ACTS if payout is not None and act.is_possible(payout)}
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

    @action(description=ASK.title, icon="help", permissions=["operate"])
    def ask(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, ASK)

    @action(description=ACKNOWLEDGE.title, icon="done_all", permissions=["operate"])
    def acknowledge(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._act(request, object_id, ACKNOWLEDGE)

    def _act(self, request: HttpRequest, object_id: str, act: Act) -> HttpResponse:
        payout: Payout | None = self.get_object(request, object_id)
        if payout is None:
            raise Http404
        if request.method == "POST":
            form = ActForm(request.POST)
            if form.is_valid():
                self._do(request, payout, act, **form.cleaned_data)
                return HttpResponseRedirect(_address_of(payout))
        elif act.is_possible(payout):
            form = ActForm(initial={"seen": seen_in(payout)})
        else:
            message = f"{act.title}: not possible as the payout is now."
            self.message_user(request, message, messages.ERROR)
            return HttpResponseRedirect(_address_of(payout))
        return self._show_act(request, payout, act, form)

    def _do(self, request: HttpRequest, payout: Payout, act: Act, *, reason: str, seen: str) -> None:
        with telling_refusals(self, request):
            with transaction.atomic():
                _require_unchanged(payout, seen)
                act.do(payout, actor=actor_of(request), reason=reason)
                self.log_change(request, payout, f"{act.title}: {reason}")
            self.message_user(request, act.done, messages.SUCCESS)

    def _show_act(self, request: HttpRequest, payout: Payout, act: Act, form: ActForm) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": act.title,
            "opts": self.opts,
            "original": payout,
            "payout": payout,
            "amount": f"{money.format_amount(payout.amount, payout.currency)} {payout.currency}",
            "recipient": recipient_details.label(payout.recipient_details),
            "act": act,
            "form": form,
            "back": _address_of(payout),
        }
        return TemplateResponse(request, "admin/payouts/payout/act.html", context)


def _require_unchanged(payout: Payout, seen: str) -> None:
    """Refuse what was decided by a page that is out of date. Keeps the payout as it is until the transaction ends.

    In the meantime another operator may have had it sent again, or the provider may have said more. This is also what
    makes a form that is sent twice harmless.
    """
    current = Payout.objects.select_for_update().get(pk=payout.pk)
    if seen_in(current) != seen:
        raise errors.PayoutChanged(
            "Nothing was done: something has happened to this payout since you opened the page. Look at it again."
        )


def _address_of(payout: Payout) -> str:
    return reverse("admin:payouts_payout_change", args=[payout.pk])
