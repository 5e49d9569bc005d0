"""Addresses of the admin, and what its pages say."""

from __future__ import annotations

import html
import re
from typing import Any

from django.db.models import Model
from django.test import Client
from django.urls import reverse

from accounts.models import Merchant
from payouts.admin import actions
from payouts.models import Payout

MERCHANTS = "/admin/accounts/merchant/"
API_KEYS = "/admin/accounts/merchantapikey/"
PAYOUTS = "/admin/payouts/payout/"
PAUSES = "/admin/payouts/pause/"
CALLBACKS = "/admin/payouts/providercallback/"
CIRCUITS = "/admin/payouts/providercircuit/"
EXPORTS = "/admin/payouts/export/"
RECORDS = "/admin/idempotency/idempotencyrecord/"


def page_of(instance: Model, action: str = "change") -> str:
    return reverse(f"admin:{instance._meta.app_label}_{instance._meta.model_name}_{action}", args=[instance.pk])


def issue_form(owner: Merchant, **fields: Any) -> dict[str, Any]:
    """Return what a browser sends when the form to issue an API key is filled in; `fields` replace or add."""
    return {
        "merchant": str(owner.pk),
        "name": "backend",
        "mode": "test",
        "scopes": ["payouts:read", "payouts:write"],
        "expiry_date_0": "",
        "expiry_date_1": "",
        "allowed_networks": "",
        **fields,
    }


def shown_secret(response: Any) -> str:
    """Return the API key that the page shows."""
    found = re.search(r'id="api-key"[^>]* value="([^"]+)"', response.content.decode())
    assert found, response.content.decode()
    return html.unescape(found[1])


def form_errors(response: Any) -> dict[str, list[str]]:
    form = response.context["adminform"].form
    return {field: list(errors) for field, errors in form.errors.items()}


def act(
    client: Client, payout: Payout, name: str, *, reason: str = "line 7", version: str | None = None, **more: str
) -> Any:
    """Do what a browser does that has opened the page of the action just now, and return the page that it ends on."""
    form = {"reason": reason, "expected_version": actions.version_of(payout) if version is None else version, **more}
    return client.post(page_of(payout, name), form, follow=True)


def messages(response: Any) -> list[tuple[str, str]]:
    """Return what the page tells about what was done: (level, text) of each message."""
    return [(message.level_tag, message.message) for message in response.context["messages"]]
