"""Which scope each method of each view needs: read from the views, compared with the table, and tried."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant, Scope
from payouts.models import Payout, PayoutTransition
from tests.support import answers, exporting, factories
from tests.support.routes import KEPT, KEY, ROUTES, send

READ, WRITE, REPORTS = "payouts:read", "payouts:write", "reports:read"
ANY: frozenset[str] = frozenset(Scope.values)

# One of these is enough.
NEEDED: dict[tuple[str, str], frozenset[str]] = {
    ("api/me/", "GET"): ANY,
    ("api/idempotency-keys/<path:key>/", "GET"): frozenset({READ, WRITE}),
    ("api/payouts/", "GET"): frozenset({READ, REPORTS}),
    ("api/payouts/", "POST"): frozenset({WRITE}),
    ("api/payouts/summary/", "GET"): frozenset({READ, REPORTS}),
    ("api/payouts/export/", "GET"): frozenset({READ, REPORTS}),
    ("api/exports/", "GET"): frozenset({READ, REPORTS}),
    ("api/exports/", "POST"): frozenset({READ, REPORTS}),
    ("api/exports/<id:export_id>/", "GET"): frozenset({READ, REPORTS}),
    ("api/exports/<id:export_id>/cancel/", "POST"): frozenset({READ, REPORTS}),
    ("api/payouts/<id:payout_id>/", "GET"): frozenset({READ}),
    ("api/payouts/<id:payout_id>/", "PATCH"): frozenset({WRITE}),
    ("api/payouts/<id:payout_id>/", "DELETE"): frozenset({WRITE}),
    ("api/payouts/<id:payout_id>/cancel/", "POST"): frozenset({WRITE}),
    ("api/payouts/<id:payout_id>/history/", "GET"): frozenset({READ}),
}


def methods_of(view: Any) -> set[str]:
    return {name.upper() for name in view.http_method_names if name not in {"head", "options"} and hasattr(view, name)}


def test_every_method_of_every_view_has_its_scopes() -> None:
    operations = {(route, method) for route in KEPT for method in methods_of(ROUTES[route])}

    assert operations == NEEDED.keys()
    for route, method in operations:
        assert (frozenset(ROUTES[route].scopes[method]) or ANY) == NEEDED[route, method]


def test_no_view_names_scopes_for_a_method_that_it_lacks() -> None:
    for route in KEPT:
        assert set(ROUTES[route].scopes) == methods_of(ROUTES[route]), route


@pytest.mark.parametrize("scope", Scope.values)
@pytest.mark.parametrize(("route", "method"), NEEDED)
def test_key_with_one_scope_may_do_what_the_table_says(
    acme: Merchant, api: Client, route: str, method: str, scope: str
) -> None:
    factories.post_payout(api, key=KEY)
    payout = Payout.objects.get()
    before = Payout.objects.values().get()

    response = send(factories.client_of(acme, scopes=[scope]), method.lower(), route, payout)

    if scope in NEEDED[route, method]:
        # 400: the body that was sent is empty, which is told only to who may send one.
        assert response.status_code in {200, 202, 204, 400}
        # An export that nobody reads would be ended in the middle of another test.
        exporting.leave(response)
    else:
        assert answers.code(response) == (403, "scope_missing")
        assert " or ".join(sorted(NEEDED[route, method])) in response.json()["detail"]
        assert Payout.objects.values().get() == before
        assert PayoutTransition.objects.count() == 1


def test_head_needs_what_get_needs(acme: Merchant) -> None:
    client = factories.client_of(acme, scopes=[WRITE])

    assert client.head("/api/payouts/").status_code == 403


def test_method_that_a_view_lacks_is_not_about_scopes(acme: Merchant) -> None:
    client: Client = factories.client_of(acme, scopes=[REPORTS])

    response = client.put("/api/payouts/", "{}", content_type="application/json")

    assert answers.code(response) == (405, "method_not_allowed")
