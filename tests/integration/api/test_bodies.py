"""What a body must be marked as, the same for each operation that takes one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from payouts.models import Export, Payout
from tests.support import answers, factories

pytestmark = pytest.mark.django_db

EXPORT = {"format": "csv"}


@pytest.fixture
def requests(api: Client, make_payout: Callable[..., Payout]) -> list[tuple[str, str, dict[str, Any]]]:
    """Each operation that takes a body: method, path and a body that is accepted."""
    payout = f"/api/payouts/{make_payout().pk}/"
    export = api.post("/api/exports/", EXPORT, content_type="application/json").json()
    return [
        ("POST", "/api/payouts/", factories.payout_body()),
        ("PATCH", payout, {"comment": "new"}),
        ("POST", f"{payout}cancel/", {}),
        ("POST", "/api/exports/", EXPORT),
        ("POST", f"/api/exports/{export['id']}/cancel/", {}),
    ]


def state() -> list[Any]:
    return [*Payout.objects.order_by("id").values(), *Export.objects.order_by("id").values()]


@pytest.mark.parametrize("content_type", ["", "*/*", "text/plain", "application/json; charset=latin-1"])
def test_another_type_is_refused(api: Client, requests: list[Any], content_type: str) -> None:
    before = state()
    for method, path, body in requests:
        response = api.generic(method, path, json.dumps(body), content_type)

        assert answers.code(response) == (415, "unsupported_media_type"), path
        assert response.headers[f"Accept-{method.capitalize()}"] == "application/json"
        assert response.headers["Content-Type"] == "application/problem+json"
    assert state() == before


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "identity, gzip"])
def test_a_coded_body_is_refused(api: Client, requests: list[Any], coding: str) -> None:
    before = state()
    for method, path, body in requests:
        for sent in (gzip.compress(json.dumps(body).encode()), json.dumps(body)):
            response = api.generic(method, path, sent, "application/json", headers={"Content-Encoding": coding})

            assert answers.code(response) == (415, "unsupported_content_encoding"), path
            assert response.headers["Accept-Encoding"] == "identity"
            assert f"Accept-{method.capitalize()}" not in response.headers
    assert state() == before


def test_a_byte_order_mark_is_taken(api: Client, requests: list[Any]) -> None:
    for method, path, body in requests:
        response = api.generic(method, path, f"\ufeff{json.dumps(body)}", "application/json; charset=UTF-8")

        assert response.status_code in {200, 201, 202}, (path, response.content)


def test_no_body_needs_no_mark(api: Client, requests: list[Any]) -> None:
    for method, path, _ in requests:
        response = api.generic(method, path, b"", "text/plain", headers={"Content-Encoding": "gzip"})

        assert response.status_code != 415, path


def test_a_request_that_reads_nothing_needs_no_mark(api: Client) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}

    assert [api.get(path, headers=headers).status_code for path in ("/api/payouts/", "/api/me/")] == [200, 200]


def test_the_caller_is_looked_at_first(client: Client, requests: list[Any]) -> None:
    for method, path, _ in requests:
        response = client.generic(method, path, "{}", "text/plain", headers={"Content-Encoding": "gzip"})

        assert answers.code(response) == (401, "api_key_missing")
