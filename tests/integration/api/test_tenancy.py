"""Every route under /api/, taken from the URL resolver, so that a new one cannot forget whose payouts it shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Merchant
from payouts.exports import formats
from payouts.models import Export, Payout, PayoutTransition
from tests.support import answers, factories
from tests.support.routes import KEPT, KEY, LINKS, PROVIDERS, PUBLIC, ROUTES, export_beside, send

# Not of one payout: they answer with what the key may see, which is nothing here.
COLLECTIONS = {"api/payouts/", "api/payouts/summary/", "api/exports/"}
# The same as files.
FILES = {"api/payouts/export/"}
NO_PAYOUTS = {"api/me/"}
# Of one Idempotency-Key: that of the payout.
KEYS = {"api/idempotency-keys/<path:key>/"}

METHODS = ("get", "post", "patch", "delete", "put", "head", "options")


OBJECTS = sorted(set(KEPT) - COLLECTIONS - FILES - NO_PAYOUTS)


def has_method(route: str, method: str) -> bool:
    return method in ROUTES[route].http_method_names and hasattr(ROUTES[route], method)


def test_the_walk_finds_the_routes() -> None:
    assert ROUTES.keys() >= PUBLIC | PROVIDERS | LINKS | COLLECTIONS | FILES | NO_PAYOUTS | KEYS
    assert OBJECTS == [
        "api/exports/<id:export_id>/",
        "api/exports/<id:export_id>/cancel/",
        "api/idempotency-keys/<path:key>/",
        "api/payouts/<id:payout_id>/",
        "api/payouts/<id:payout_id>/cancel/",
        "api/payouts/<id:payout_id>/history/",
    ]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("route", KEPT)
def test_requires_api_key(client: Client, make_payout: Callable[..., Payout], route: str, method: str) -> None:
    payout = make_payout()

    response = send(client, method, route, payout)

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Api-Key"
    if method != "head":
        assert answers.code(response) == (401, "api_key_missing")
    assert PayoutTransition.objects.count() == 1


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
@pytest.mark.parametrize("route", OBJECTS)
def test_hides_payouts_of_other_merchants_and_of_the_other_mode(
    acme: Merchant, globex: Merchant, api: Client, route: str, method: str
) -> None:
    factories.post_payout(api, key=KEY)
    payout = Payout.objects.get()
    export_beside(payout)
    before = Payout.objects.values().get(), Export.objects.values().get()

    for stranger in (factories.client_of(globex), factories.client_of(acme, mode="live")):
        response = send(stranger, method, route, payout)
        expected = (404, "not_found") if has_method(route, method) else (405, "method_not_allowed")
        assert answers.code(response) == expected
        assert str(payout.amount) not in response.content.decode()
        assert str(payout.id) not in response.content.decode().replace(response.json()["instance"], "")

    assert (Payout.objects.values().get(), Export.objects.values().get()) == before
    assert PayoutTransition.objects.count() == 1


@pytest.mark.parametrize("route", sorted(COLLECTIONS))
def test_shows_nothing_of_other_merchants_and_of_the_other_mode(
    acme: Merchant, globex: Merchant, make_payout: Callable[..., Payout], route: str
) -> None:
    payout = make_payout()
    export_beside(payout)

    for stranger in (factories.client_of(globex), factories.client_of(acme, mode="live")):
        response = send(stranger, "get", route, payout)
        assert response.status_code == 200
        assert response.json()["results"] == []


@pytest.mark.parametrize("route", sorted(FILES))
def test_exports_nothing_of_other_merchants_and_of_the_other_mode(
    acme: Merchant, globex: Merchant, make_payout: Callable[..., Payout], route: str
) -> None:
    payout = make_payout()

    for stranger in (factories.client_of(globex), factories.client_of(acme, mode="live")):
        response = send(stranger, "get", route, payout)
        assert response.status_code == 200
        assert response.getvalue().decode().splitlines() == [",".join(formats.CSV_COLUMNS)]


@pytest.mark.parametrize("route", sorted(PUBLIC))
def test_lets_everybody_read_the_documentation(client: Client, route: str) -> None:
    assert client.get(f"/{route}").status_code == 200
