"""The admin of merchants, API keys, users and groups.

Nothing is deleted here. Rows are suspended, revoked or deactivated, and kept for the audit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from rest_framework_api_key.models import APIKey
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter, ChoicesCheckboxFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
)

from accounts import errors, services
from accounts.fields import LineField, MerchantField
from accounts.models import Merchant, MerchantAPIKey, Mode, Scope, every_scope, validate_network
from backoffice.base import AuditedModelAdmin
from rest import texts

logger = logging.getLogger(__name__)

MODE_LABELS = {Mode.LIVE.label: "warning", Mode.TEST.label: "info"}


class MerchantForm(forms.ModelForm):
    """Accepts an unchanged name that only an earlier version accepted, so that its merchant can be suspended."""

    class Meta:
        field_classes: ClassVar = {"name": LineField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = self.fields.get("name")
        if isinstance(name, LineField):
            name.kept = self.instance.name

    def _get_validation_exclusions(self) -> set[str]:
        exclusions: set[str] = super()._get_validation_exclusions()  # type: ignore[misc] # The stubs lack it.
        return exclusions if "name" in self.changed_data else exclusions | {"name"}


@admin.register(Merchant)
class MerchantAdmin(AuditedModelAdmin):
    form = MerchantForm
    list_display = ("name", "show_status", "require_idempotency_key", "created_at")
    list_filter = (("is_active", BooleanRadioFilter),)
    # For the search box; get_search_results does the search.
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("name",)
    fields = ("name", "is_active", "require_idempotency_key", "id", "created_at", "updated_at")
    add_fieldsets = ((None, {"fields": ("name", "require_idempotency_key")}),)
    readonly_fields = ("id", "created_at", "updated_at")

    @display(description="Status", ordering="is_active", label={"Active": "success", "Suspended": "warning"})
    def show_status(self, merchant: Merchant) -> str:
        return "Active" if merchant.is_active else "Suspended"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Merchant], search_term: str
    ) -> tuple[QuerySet[Merchant], bool]:
        del request
        if not search_term.strip():
            return queryset, False
        return queryset.filter(pk__in=Merchant.objects.named_like(search_term)), False

    def save_model(self, request: HttpRequest, obj: Merchant, form: forms.ModelForm[Merchant], change: Any) -> None:
        del request
        if change:
            # Only the changed fields: another administrator may have suspended the merchant since.
            services.save_merchant(obj, update_fields=[*form.changed_data, "updated_at"])
            return
        created = services.create_merchant(obj.name, require_idempotency_key=obj.require_idempotency_key)
        obj.pk = created.pk


class IssueForm(forms.ModelForm):
    """The rights of an API key. They are set when the key is issued and never changed."""

    # Every request compares the caller's address with each network.
    NETWORKS_MAX = 50

    scopes = forms.MultipleChoiceField(
        choices=Scope.choices, initial=every_scope, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    allowed_networks = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "203.0.113.0/24"}),
        help_text="Networks in CIDR notation, one on each line. Empty: from anywhere.",
    )

    class Meta:
        model = MerchantAPIKey
        fields = ("merchant", "name", "mode", "scopes", "expiry_date", "allowed_networks")
        field_classes: ClassVar = {"merchant": MerchantField, "name": LineField}
        help_texts: ClassVar = {
            "expiry_date": "In UTC. Empty: it never expires.",
        }

    def clean_expiry_date(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expiry_date"]
        if expires_at is not None and expires_at <= timezone.now():
            raise forms.ValidationError("The expiry must be in the future.")
        return expires_at

    def clean_allowed_networks(self) -> list[str]:
        networks = list(dict.fromkeys(self.cleaned_data["allowed_networks"].replace(",", " ").split()))
        if len(networks) > self.NETWORKS_MAX:
            raise forms.ValidationError(f"There are more than {self.NETWORKS_MAX} networks.")
        for network in networks:
            validate_network(network)
        return networks


class RenameForm(forms.ModelForm):
    class Meta:
        field_classes: ClassVar = {"name": LineField}


class RotateForm(forms.Form):
    OVERLAPS: ClassVar = [("0", "Not at all"), ("1", "1 hour"), ("24", "1 day"), ("168", "7 days"), ("720", "30 days")]

    overlap_hours = forms.TypedChoiceField(
        label="How long the old key stays valid",
        choices=OVERLAPS,
        initial="24",
        coerce=int,
        widget=UnfoldAdminRadioSelectWidget,
    )


@admin.register(MerchantAPIKey)
class MerchantAPIKeyAdmin(AuditedModelAdmin):
    """Issue, show, rename, rotate and revoke API keys. The page after issuing shows the secret, once."""

    denied_lookups = frozenset({"hashed_key"})
    form = RenameForm
    list_display = ("name", "prefix", "merchant", "show_mode", "show_status", "expiry_date", "last_used_at", "created")
    list_select_related = ("merchant",)
    list_filter = (
        ("mode", ChoicesCheckboxFilter),
        ("revoked", BooleanRadioFilter),
        ("merchant", AutocompleteSelectFilter),
    )
    list_fullwidth = True
    # For the search box; get_search_results does the search.
    search_fields = ("prefix", "name", "merchant__name")
    search_help_text = "Prefix, name or merchant"
    autocomplete_fields = ("merchant",)
    radio_fields: ClassVar = {"mode": admin.HORIZONTAL}
    add_fieldsets = (
        (None, {"fields": ("merchant", "name", "mode", "scopes")}),
        ("Limits", {"fields": ("expiry_date", "allowed_networks")}),
    )
    fieldsets = (
        (None, {"fields": ("name", "prefix", "merchant", "show_mode", "show_status")}),
        ("Rights", {"fields": ("show_scopes", "show_networks")}),
        ("Life", {"fields": ("created", "expiry_date", "last_used_at", "revoked_at")}),
    )
    actions_detail: ClassVar = ["rotate", "revoke"]
    actions_row: ClassVar = ["rotate", "revoke"]

    def get_form(
        self, request: HttpRequest, obj: MerchantAPIKey | None = None, *args: Any, **kwargs: Any
    ) -> type[forms.ModelForm[MerchantAPIKey]]:
        if obj is None:
            kwargs["form"] = IssueForm
        form: type[forms.ModelForm[MerchantAPIKey]] = super().get_form(request, obj, *args, **kwargs)
        return form

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # One button: issuing ends on the page with the secret, renaming on the list.
        context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response

    def get_readonly_fields(self, request: HttpRequest, obj: MerchantAPIKey | None = None) -> Iterable[str]:
        del request
        fields = [name for _, options in self.fieldsets for name in options["fields"]]
        return [name for name in fields if name != "name"] if obj else []

    def has_rotate_permission(self, request: HttpRequest, obj: MerchantAPIKey | None = None) -> bool:
        """A rotation adds one key and changes another. A check by codename would query the database."""
        return bool(self.has_add_permission(request) and self.has_change_permission(request, obj))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        # A typed address may hold something that is not an id.
        api_key: MerchantAPIKey | None = self.get_object(request, object_id)
        if api_key is None or api_key.revoked:
            return []
        actions: list[Any] = super().get_actions_detail(request, object_id)
        return actions

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[MerchantAPIKey], search_term: str
    ) -> tuple[QuerySet[MerchantAPIKey], bool]:
        del request
        term = texts.normalised(search_term).strip()
        if not term:
            return queryset, False
        if not texts.is_storable(term):
            return queryset.none(), False
        of_merchant = Q(merchant__in=Merchant.objects.named_like(term))
        return queryset.filter(Q(prefix=term) | Q(name__icontains=term) | of_merchant), False

    @display(description="Mode", ordering="mode", label=MODE_LABELS)
    def show_mode(self, api_key: MerchantAPIKey) -> str:
        return api_key.get_mode_display()

    @display(description="Status", label={"Active": "success", "Expired": "warning", "Revoked": "danger"})
    def show_status(self, api_key: MerchantAPIKey) -> str:
        if api_key.revoked:
            return "Revoked"
        return "Expired" if api_key.expired_at(timezone.now()) else "Active"

    @admin.display(description="Scopes")
    def show_scopes(self, api_key: MerchantAPIKey) -> str:
        return "\n".join(Scope(scope).label for scope in api_key.scopes)

    @admin.display(description="Allowed networks")
    def show_networks(self, api_key: MerchantAPIKey) -> str:
        return "\n".join(api_key.allowed_networks) or "From anywhere"

    def save_form(self, request: HttpRequest, form: forms.ModelForm[MerchantAPIKey], change: Any) -> MerchantAPIKey:
        del request
        wanted = form.save(commit=False)
        if change:
            return wanted
        api_key, secret = services.issue_api_key(
            wanted.merchant,
            name=wanted.name,
            mode=wanted.mode,
            scopes=wanted.scopes,
            expires_at=wanted.expiry_date,
            allowed_networks=wanted.allowed_networks,
        )
        api_key.secret_shown_once = secret  # type: ignore[attr-defined] # For response_add; no field, so never stored.
        return api_key

    def save_model(self, request: HttpRequest, obj: MerchantAPIKey, form: Any, change: Any) -> None:
        del request, form
        if change:
            # Only the name: saving the whole row would undo a concurrent revocation.
            obj.save(update_fields=["name"])

    def response_add(
        self, request: HttpRequest, obj: MerchantAPIKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        del post_url_continue
        return self._show_secret(request, obj, obj.secret_shown_once)  # type: ignore[attr-defined] # See save_form.

    @action(description="Rotate", icon="autorenew", permissions=["rotate"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        api_key = self._find(request, object_id)
        form = RotateForm(request.POST or None)
        if not form.is_valid():
            return self._ask(request, api_key, what="rotate", form=form)
        overlap = timedelta(hours=form.cleaned_data["overlap_hours"])
        try:
            with transaction.atomic():
                successor, secret = services.rotate_api_key(api_key, overlap=overlap)
                self.log_change(request, api_key, f"Rotated: {successor.prefix} takes its place.")
                self.log_addition(request, successor, f"Issued in place of {api_key.prefix}.")
        except (errors.APIKeyRevoked, errors.APIKeyExpired):
            message = "A revoked or expired API key cannot be rotated. Issue a new one."
            self.message_user(request, message, messages.ERROR)
            return HttpResponseRedirect(self._address(api_key))
        # Read again: the expiry has changed.
        return self._show_secret(request, successor, secret, replaced=self._find(request, object_id))

    @action(description="Revoke", icon="block", permissions=["change"], variant=ActionVariant.DANGER)
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        api_key = self._find(request, object_id)
        if request.method != "POST":
            return self._ask(request, api_key, what="revoke")
        with transaction.atomic():
            if services.revoke_api_key(api_key):
                self.log_change(request, api_key, "Revoked.")
        self.message_user(request, f"The API key {api_key.prefix} is revoked.", messages.SUCCESS)
        return HttpResponseRedirect(self._address(api_key))

    def _find(self, request: HttpRequest, object_id: str) -> MerchantAPIKey:
        api_key: MerchantAPIKey | None = self.get_object(request, object_id)
        if api_key is None:
            raise Http404
        return api_key

    def _address(self, api_key: MerchantAPIKey) -> str:
        return reverse("admin:accounts_merchantapikey_change", args=[api_key.pk])

    def _ask(
        self, request: HttpRequest, api_key: MerchantAPIKey, *, what: str, form: forms.Form | None = None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"{what.capitalize()} API key {api_key.prefix}",
            "opts": self.opts,
            "original": api_key,
            "api_key": api_key,
            "what": what,
            "form": form,
            "back": self._address(api_key),
        }
        return TemplateResponse(request, "admin/accounts/merchantapikey/confirm.html", context)

    def _show_secret(self, request: HttpRequest, api_key: MerchantAPIKey, secret: str, **extra: Any) -> HttpResponse:
        """Show the secret in this one response, which is not stored."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key issued",
            "opts": self.opts,
            "original": api_key,
            "api_key": api_key,
            "secret": secret,
            "address": self._address(api_key),
            **extra,
        }
        headers = {"Cache-Control": "no-store"}
        return TemplateResponse(request, "admin/accounts/merchantapikey/secret.html", context, headers=headers)


# The library's own keys have no merchant, and authentication ignores them.
admin.site.unregister(APIKey)
admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedModelAdmin):
    """Users of the admin. A user who leaves is deactivated, so that the history keeps the name."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_filter = (("is_active", BooleanRadioFilter), ("is_superuser", BooleanRadioFilter))


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, AuditedModelAdmin):
    pass
