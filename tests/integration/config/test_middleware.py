from __future__ import annotations

import logging
import uuid
from typing import Any

import pytest
from django.test import Client

from tests.support import factories

pytestmark = pytest.mark.django_db

API_POLICY = "default-src 'none'; form-action 'none'; frame-ancestors 'none'"


class TestRequestId:
    def test_every_answer_has_one(self, client: Client) -> None:
        ids = [client.get(path).headers["X-Request-Id"] for path in ("/livez", "/api/payouts/", "/nowhere", "/admin/")]

        assert len(set(ids)) == 4
        assert [uuid.UUID(request_id).version for request_id in ids] == [7] * 4

    @pytest.mark.parametrize("offered", ["abc-123", "A.b_c-9", "x" * 128])
    def test_takes_the_callers(self, client: Client, offered: str) -> None:
        assert client.get("/livez", headers={"X-Request-Id": offered}).headers["X-Request-Id"] == offered

    @pytest.mark.parametrize("offered", ["", "x" * 129, "a b", "a\tb", 'a"b', "a,b", "ä", "a\n"])
    def test_replaces_what_could_break_a_log(self, client: Client, offered: str) -> None:
        answered = client.get("/livez", headers={"X-Request-Id": offered}).headers["X-Request-Id"]

        assert uuid.UUID(answered).version == 7

    def test_is_in_the_problem_document(self, client: Client) -> None:
        response = client.get("/api/payouts/", headers={"X-Request-Id": "mine"})

        assert (response.status_code, response.json()["request_id"]) == (401, "mine")

    def test_is_on_each_log_line(self, api: Client, caplog: pytest.LogCaptureFixture) -> None:
        from config.logs import RequestIdFilter  # noqa: PLC0415 - reads Django's settings

        caplog.set_level(logging.INFO)
        caplog.handler.addFilter(RequestIdFilter())

        factories.post_payout(api, key="k-1", **{"X-Request-Id": "mine"})

        requested = [record for record in caplog.records if record.name.startswith("payouts")]
        assert {record.__dict__["request_id"] for record in requested} <= {"mine"}


class TestContentSecurityPolicy:
    @pytest.mark.parametrize("path", ["/api/payouts/", "/api/me/", "/livez", "/nowhere"])
    def test_the_api_shows_nothing(self, api: Client, path: str) -> None:
        assert api.get(path).headers["Content-Security-Policy"] == API_POLICY

    @pytest.mark.parametrize("path", ["/api/schema/swagger-ui/", "/api/schema/redoc/"])
    def test_the_documentation_loads_from_here_alone(self, client: Client, path: str) -> None:
        policy = client.get(path).headers["Content-Security-Policy"]

        assert "default-src 'self'" in policy
        assert "unsafe-eval" not in policy
        assert "http" not in policy

    def test_the_admin_may_evaluate_expressions(self, client: Client) -> None:
        policy = client.get("/admin/login/").headers["Content-Security-Policy"]

        assert "script-src 'self' 'unsafe-eval'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy


class TestCookies:
    @pytest.mark.parametrize("path", ["/api/payouts/", "/api/me/", "/api/schema/", "/livez", "/readyz", "/metrics"])
    def test_the_api_sets_none(self, api: Client, path: str) -> None:
        response = api.get(path)

        assert response.cookies == {}
        assert "Cookie" not in response.headers.get("Vary", "")

    def test_a_post_needs_no_csrf_token(self, acme: Any) -> None:
        client = factories.client_of(acme)
        client.handler.enforce_csrf_checks = True

        assert factories.post_payout(client).status_code == 201

    def test_the_admin_needs_one(self) -> None:
        client = Client(enforce_csrf_checks=True)

        assert client.post("/admin/login/", {"username": "a", "password": "b"}).status_code == 403

    def test_a_payout_is_kept_by_no_cache(self, api: Client) -> None:
        assert api.get("/api/payouts/").headers["Cache-Control"] == "no-store"
