"""Every route of the API, and one request for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.test import Client
from django.urls import URLResolver, get_resolver

from payouts.models import Export, Payout

# What everybody may read: the documentation.
PUBLIC = {
    "api/schema/",
    "api/schema/swagger-ui/",
    "api/schema/redoc/",
    "api/schema/bank/",
    "api/schema/bank/redoc/",
}


# Providers are no merchants: they prove themselves by a signature (test_callbacks_api.py).
PROVIDERS = {"api/callbacks/<str:provider>/"}


# Called with a signed link and no API key (test_export_download.py).
LINKS = {"api/exports/<id:export_id>/download/"}


KEY = "order-1"


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (route, view class) of everything under /api/."""
    for pattern in resolver.url_patterns:
        route = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        elif route.startswith("api/"):
            yield route, getattr(pattern.callback, "view_class", None)


ROUTES = dict(routes(get_resolver()))


KEPT = sorted(ROUTES.keys() - PUBLIC - PROVIDERS - LINKS)


def send(client: Client, method: str, route: str, payout: Payout) -> Any:
    path = "/" + route.replace("<id:payout_id>", str(payout.id)).replace("<path:key>", KEY)
    if "<id:export_id>" in path:
        path = path.replace("<id:export_id>", str(export_beside(payout).id))
    return getattr(client, method)(path, content_type="application/json")


def export_beside(payout: Payout) -> Export:
    """Return an export of the payout's merchant and mode."""
    export, _ = Export.objects.get_or_create(
        merchant_id=payout.merchant_id, mode=payout.mode, kind="job", format="csv", ordering="-created_at"
    )
    return export
