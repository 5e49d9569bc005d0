"""Every route that changes something, taken from the URL resolver: a new one cannot forget the Idempotency-Key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, get_resolver, path
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from config import health

# Routes and methods that change something and take no key, each with the reason why a repetition does no harm.
EXEMPT = {
    ("api/payouts/<id:payout_id>/", "delete"): "It names what it deletes: the second time there is nothing left.",
    ("api/callbacks/<str:provider>/", "post"): "Its provider names the event: told again, it is stored already.",
}
# Views that are plain functions, or Django's own, and take any method: these change nothing, whatever it is.
PLAIN = {
    "livez": "Says that the process is alive.",
    "readyz": "Asks database and broker whether they answer.",
    "metrics": "Reads figures.",
    "": "Redirects a browser to the documentation.",
    "api/schema/bank/": "Shows the contract that a bank has to speak.",
}
# Not for programs: its forms are sent by people, who see what became of them.
PEOPLE = "admin/"

CHANGING = ("post", "put", "patch", "delete")


def patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in resolver.url_patterns:
        route = f"{prefix}{pattern.pattern}"
        if route.startswith(PEOPLE):
            continue
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern, route)
        else:
            yield route, pattern


def changing_methods(callback: Any) -> dict[str, Any] | None:
    """Return the methods of a view that may change something; None for one that does not tell its methods."""
    if actions := getattr(callback, "actions", None):
        return {method: getattr(callback.cls, name) for method, name in actions.items() if method in CHANGING}
    view = getattr(callback, "view_class", getattr(callback, "cls", None))
    if view is None:
        return None
    allowed = set(CHANGING) & set(view.http_method_names)
    return {method: getattr(view, method) for method in allowed if hasattr(view, method)}


def unguarded(routes: list[tuple[str, URLPattern]]) -> set[tuple[str, str]]:
    """Return (route, method) of all that takes no key; the method is empty where the view does not tell."""
    found = set()
    for route, pattern in routes:
        methods = changing_methods(pattern.callback)
        if route in PLAIN:
            continue
        if methods is None:
            found.add((route, ""))
            continue
        found |= {(route, name) for name, method in methods.items() if not getattr(method, "is_idempotent", False)}
    return found


ROUTES = list(patterns(get_resolver()))


def test_every_route_that_changes_something_takes_a_key_or_is_exempt() -> None:
    assert unguarded(ROUTES) == EXEMPT.keys()


def test_the_walk_finds_the_routes() -> None:
    taking = {
        (route, name)
        for route, pattern in ROUTES
        for name, method in (changing_methods(pattern.callback) or {}).items()
        if getattr(method, "is_idempotent", False)
    }

    assert taking == {
        ("api/payouts/", "post"),
        ("api/payouts/<id:payout_id>/", "patch"),
        ("api/payouts/<id:payout_id>/cancel/", "post"),
        ("api/exports/", "post"),
        ("api/exports/<id:export_id>/cancel/", "post"),
    }
    assert PLAIN.keys() <= {route for route, _ in ROUTES}


class WidgetViewSet(ViewSet):
    def create(self, request: HttpRequest) -> Response:
        return Response()


def widget(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def test_a_new_one_is_found_whatever_kind_of_view_it_is() -> None:
    new = [
        path("function/", widget),
        path("viewset/", WidgetViewSet.as_view({"post": "create", "get": "list"})),
        path("livez", health.livez),
    ]

    assert unguarded([(str(pattern.pattern), pattern) for pattern in new]) == {("function/", ""), ("viewset/", "post")}


def test_no_route_is_exempt_without_a_reason() -> None:
    reasons = [*EXEMPT.values(), *PLAIN.values()]

    assert [reason for reason in reasons if not (reason.endswith(".") and len(reason.split()) > 1)] == []
