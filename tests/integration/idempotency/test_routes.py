"""Every route that changes something, taken from the URL resolver: a new one cannot forget the Idempotency-Key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLResolver, get_resolver

# Routes and methods that change something and take no key, each with the reason why a repetition does no harm.
EXEMPT = {
    ("api/payouts/<uuid:payout_id>/", "delete"): "It names what it deletes: the second time there is nothing left.",
}
# Not for programs: its forms are sent by people, who see what became of them.
PEOPLE = "admin/"

CHANGING = ("post", "put", "patch", "delete")


def changing_methods(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (route, method, view's method) of everything that may change something."""
    for pattern in resolver.url_patterns:
        route = f"{prefix}{pattern.pattern}"
        if route.startswith(PEOPLE):
            continue
        if isinstance(pattern, URLResolver):
            yield from changing_methods(pattern, route)
            continue
        view: Any = getattr(pattern.callback, "view_class", None)
        for method in set(CHANGING) & set(getattr(view, "http_method_names", ())):
            if hasattr(view, method):
                yield route, method, getattr(view, method)


METHODS = {(route, method): function for route, method, function in changing_methods(get_resolver())}


def test_the_walk_finds_the_routes() -> None:
    assert METHODS.keys() >= {("api/payouts/", "post"), ("api/payouts/<uuid:payout_id>/cancel/", "post")}


def test_every_route_that_changes_something_takes_a_key_or_is_exempt() -> None:
    without = {name for name, function in METHODS.items() if not getattr(function, "is_idempotent", False)}
    # The start page redirects whatever the method.
    without -= {("", method) for method in CHANGING}

    assert without == EXEMPT.keys()


def test_no_post_is_exempt_without_a_reason() -> None:
    assert [reason for reason in EXEMPT.values() if len(reason.split()) < 5] == []
