"""The look of the admin: names, colours and the sidebar. The sidebar shows a user only the pages that he may open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse_lazy

# Inline: a file would be one more request. Without an icon browsers request /favicon.ico.
FAVICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Crect width='32' height='32' rx='8' fill='%230f766e'/%3E"
    "%3Cpath d='M9 16h13m-5-5 5 5-5 5' fill='none' stroke='white' stroke-width='3' stroke-linecap='round' "
    "stroke-linejoin='round'/%3E%3C/svg%3E"
)

FORMAT_MODULE_PATH = "backoffice.formats"


def environment(request: HttpRequest) -> list[str] | None:
    """Return the badge beside the user's name: no money can move from this installation."""
    del request
    return None if settings.LIVE_PROVIDER else ["Sandbox only", "info"]


def may(permission: str) -> Callable[[HttpRequest], bool]:
    """Return the check that the sidebar calls before it shows a link."""

    def has_permission(request: HttpRequest) -> bool:
        return request.user.has_perm(permission)

    return has_permission


def _link(title: str, icon: str, model: str) -> dict[str, Any]:
    app_label, model_name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app_label}_{model_name}_changelist"),
        "permission": may(f"{app_label}.view_{model_name}"),
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Payouts",
    "SITE_HEADER": "Payouts",
    "SITE_SUBHEADER": "Administration",
    "SITE_SYMBOL": "send_money",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: FAVICON}],
    "SITE_URL": "/api/schema/swagger-ui/",
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "backoffice.logins.LoginForm"},
    "ENVIRONMENT": environment,
    "COLORS": {
        # Teal.
        "primary": {
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.801)",
            "200": "oklch(91% .096 180.426)",
            "300": "oklch(85.5% .138 181.071)",
            "400": "oklch(77.7% .152 181.912)",
            "500": "oklch(70.4% .14 182.503)",
            "600": "oklch(51.1% .096 186.391)",
            "700": "oklch(43.7% .078 188.216)",
            "800": "oklch(38.6% .063 188.416)",
            "900": "oklch(32% .055 190)",
            "950": "oklch(27.7% .046 192.524)",
        },
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "title": "Payouts",
                "items": [
                    _link("Payouts", "payments", "payouts.payout"),
                    _link("Pauses", "pause", "payouts.pause"),
                    _link("Exports", "file_download", "payouts.export"),
                ],
            },
            {
                "title": "Providers",
                "separator": True,
                "items": [
                    _link("Callbacks", "call_received", "payouts.providercallback"),
                    _link("Circuits", "electrical_services", "payouts.providercircuit"),
                ],
            },
            {
                "title": "Merchants & keys",
                "separator": True,
                "items": [
                    _link("Merchants", "storefront", "accounts.merchant"),
                    _link("API keys", "key", "accounts.merchantapikey"),
                ],
            },
            {
                "title": "Idempotency",
                "separator": True,
                "items": [_link("Idempotency records", "fingerprint", "idempotency.idempotencyrecord")],
            },
            {
                "title": "Users & groups",
                "separator": True,
                "items": [_link("Users", "person", "auth.user"), _link("Groups", "group", "auth.group")],
            },
        ],
    },
}
