"""What the platform answers before a view is reached: plain HTTP, hosts, slashes, HEAD."""

from __future__ import annotations

import logging
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts import services
from accounts.models import Merchant
from config import middleware
from config.wsgi import application
from payouts.models import Payout
from tests.support import answers, factories

PAGES = ["/", "/admin/", "/admin/login/", "/api/schema/swagger-ui/", "/api/schema/redoc/", "/api/schema/bank/redoc/"]
HEALTH = ["/livez", "/readyz", "/metrics"]
DETAIL = (
    "Nothing was done: this API is used over https:// alone. Treat an API key that was sent over plain HTTP as leaked: "
    "have it revoked, and use a new one."
)


class Unread(BytesIO):
    """A body that fails the test when it is read."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError


class TestPlainHTTP:
    @pytest.fixture(autouse=True)
    def _behind_https(self, settings: Any) -> None:
        settings.SECURE_SSL_REDIRECT = True
        settings.SECURE_HSTS_SECONDS = 31_536_000
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

    def test_is_refused_by_the_api_with_a_sentence(self, api: Client) -> None:
        response = factories.post_payout(api, key="k-1", **{"X-Request-Id": "mine"})

        assert response.json() == {
            "type": "about:blank",
            "title": "HTTPS is required",
            "status": 403,
            "detail": DETAIL,
            "instance": "/api/payouts/",
            "code": "https_required",
            "request_id": "mine",
        }
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Length"] == str(len(response.content))
        assert "Strict-Transport-Security" not in response.headers
        assert answers.rows_written() == answers.NOTHING

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X"])
    @pytest.mark.parametrize(
        "path", ["/api", "/api/", "/api/payouts/", "/api/payouts", "/api/callbacks/x/", "/api/schema/", "/api/%2e/"]
    )
    def test_is_refused_whatever_the_method_and_the_path(self, client: Client, method: str, path: str) -> None:
        response = client.generic(method, path)

        assert response.status_code == 403
        assert "Location" not in response.headers

    def test_is_refused_before_anything_is_read(self, api: Client) -> None:
        unread: dict[str, Any] = {"wsgi.input": Unread(), "CONTENT_LENGTH": "9"}

        with CaptureQueriesContext(connection) as queries:
            response = api.post("/api/payouts/", **unread)

        assert (response.status_code, list(queries)) == (403, [])

    @pytest.mark.parametrize("method", ["get", "head"])
    @pytest.mark.parametrize("path", [*PAGES, "/admin", "/api/schema/redoc", "/nowhere"])
    def test_leads_people_to_https(self, client: Client, method: str, path: str) -> None:
        response = getattr(client, method)(f"{path}?a=b%20c")

        assert response.status_code == 301
        assert response.headers["Location"] == f"https://testserver{path}?a=b%20c"

    @pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS"])
    @pytest.mark.parametrize("path", PAGES)
    def test_takes_no_form(self, client: Client, method: str, path: str) -> None:
        assert answers.code(client.generic(method, path)) == (403, "https_required")

    @pytest.mark.django_db
    @pytest.mark.parametrize("path", HEALTH)
    def test_is_answered_to_who_looks_after_the_process(self, client: Client, path: str) -> None:
        assert client.get(path).status_code == 200

    def test_is_what_the_proxy_says(self, api: Client) -> None:
        response = api.get("/api/me/", headers={"X-Forwarded-Proto": "https"})

        assert response.status_code == 200
        assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert api.get("/api/me/", headers={"X-Forwarded-Proto": "http"}).status_code == 403

    def test_is_well_without_https(self, api: Client, settings: Any) -> None:
        settings.SECURE_SSL_REDIRECT = False

        assert api.get("/api/me/").status_code == 200


class TestHost:
    HOSTS = (
        "10.0.0.7:8000",
        "evil.example",
        "",
        " ",
        "a b",
        "..",
        "[::1",
        "exa_mple",
        "x" * 5000,
        "\u00e9",
        "a:b:c",
        "@",
    )

    @pytest.mark.django_db
    @pytest.mark.parametrize("path", HEALTH)
    def test_does_not_matter_to_health(self, settings: Any, path: str) -> None:
        for settings.SECURE_SSL_REDIRECT in (True, False):
            statuses = {host: Client().get(path, headers={"Host": host}).status_code for host in self.HOSTS}

            assert statuses == dict.fromkeys(self.HOSTS, 200)

    @pytest.mark.django_db
    @pytest.mark.parametrize("path", HEALTH)
    def test_may_be_missing_for_health(self, path: str) -> None:
        environ = RequestFactory().get(path, SERVER_NAME="evil.example").environ

        assert application.get_response(application.request_class(environ)).status_code == 200

    @pytest.mark.parametrize(
        "path",
        ["/", "/admin/", "/api/me/", "/api/schema/", "/livez/", "/readyz/x", "/proxy-livez", "//livez", "/nowhere"],
    )
    def test_must_be_ours_for_the_rest(self, client: Client, path: str) -> None:
        hosts = [host for host in self.HOSTS if host.strip()]

        codes = {host: answers.code(client.get(path, headers={"Host": host})) for host in hosts}

        assert codes == dict.fromkeys(hosts, (400, "invalid_request"))


class TestSlash:
    @pytest.mark.parametrize("method", ["get", "head"])
    @pytest.mark.parametrize(
        "path", ["/admin", "/admin/login", "/api/schema/swagger-ui", "/api/schema/redoc", "/api/schema/bank/redoc"]
    )
    def test_is_added_for_people(self, client: Client, method: str, path: str) -> None:
        response = getattr(client, method)(f"{path}?next=/a%20b&x=%22")

        assert response.status_code in {301, 302}
        assert response.headers["Location"].startswith((f"{path}/?next=/a%20b&x=%22", "/admin/login/?next="))

    @pytest.mark.django_db
    def test_is_added_within_the_admin(self, admin_client: Client) -> None:
        response = admin_client.get("/admin/payouts/payout?q=x")

        assert (response.status_code, response.headers["Location"]) == (301, "/admin/payouts/payout/?q=x")

    @pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS"])
    @pytest.mark.parametrize("path", ["/admin", "/api/schema/redoc"])
    def test_is_not_added_for_another_method(self, client: Client, method: str, path: str) -> None:
        response = client.generic(method, path)

        assert answers.code(response) == (404, "not_found")
        assert response.json()["detail"] == f"There is nothing at {path}. The path ends with a slash: {path}/"

    @pytest.mark.parametrize("path", ["/api/payouts", "/api/payouts/summary", "/api/me", "/api/schema", "/api/exports"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    def test_is_named_to_programs(self, client: Client, method: str, path: str) -> None:
        response = client.generic(method, path)

        assert response.status_code == 404
        if method != "HEAD":
            assert response.json()["detail"] == f"There is nothing at {path}. The path ends with a slash: {path}/"

    @pytest.mark.parametrize("path", ["/nowhere", "/adminx", "//evil.example/x", "/livez/x", "/api", "/api/nothing"])
    def test_is_not_named_where_there_is_nothing(self, client: Client, path: str) -> None:
        response = client.get(path)

        assert answers.code(response) == (404, "not_found")
        assert response.json()["detail"].count("slash") == 0


class TestHead:
    @pytest.fixture
    def paths(self, make_payout: Callable[..., Payout]) -> list[str]:
        return [
            *("/livez", "/readyz", "/", "/admin/login/", "/admin/", "/nowhere"),
            *("/api/schema/", "/api/schema/swagger-ui/", "/api/schema/redoc/", "/api/schema/bank/"),
            *("/api/payouts/", "/api/payouts/?page_size=x", f"/api/payouts/{make_payout().pk}/", "/api/me/"),
            *("/api/payouts/summary/", "/api/exports/", "/api/idempotency-keys/unknown/"),
        ]

    def test_has_the_headers_of_get_and_no_body(self, acme: Merchant, paths: list[str]) -> None:
        """As the server sees it: Django's own client would drop a body by itself."""
        secret = services.issue_api_key(acme, name="test")[1]

        for path in paths:
            got, asked = (self.answer(method, path, secret) for method in ("GET", "HEAD"))

            assert (path, asked[0], asked[2]) == (path, got[0], b"")
            assert (path, asked[1]) == (path, got[1])

    @staticmethod
    def answer(method: str, path: str, secret: str) -> tuple[int, dict[str, str], bytes]:
        factory = RequestFactory(headers={"authorization": f"Api-Key {secret}", "X-Request-Id": "mine"})
        response: Any = application.get_response(application.request_class(factory.generic(method, path).environ))
        headers = {name: value for name, value in response.headers.items() if name not in {"Set-Cookie", "Expires"}}
        return response.status_code, headers, b"".join(response)

    def test_ends_a_stream(self) -> None:
        from django.http import StreamingHttpResponse  # noqa: PLC0415 - needs nothing else here

        drop = middleware.HeadMiddleware(
            lambda _: StreamingHttpResponse(iter([b"row"]), headers={"Content-Length": "3"})
        )
        request = HttpRequest()
        request.method = "HEAD"

        response: Any = drop(request)

        assert (b"".join(response), response.headers["Content-Length"]) == (b"", "3")


class TestOptions:
    @pytest.mark.parametrize("path", ["/livez", "/api/schema/bank/", "/api/me/", "/api/payouts/", "/"])
    def test_is_answered_without_a_defect(self, api: Client, caplog: pytest.LogCaptureFixture, path: str) -> None:
        caplog.set_level(logging.WARNING)

        response = api.options(path)

        assert response.status_code in {200, 302, 405}
        assert "Allow" in response.headers or response.status_code != 405
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


class TestInstance:
    @pytest.mark.parametrize(
        ("path", "instance"),
        [
            ("/api/a%20b/", "/api/a%20b/"),
            ("/api/%C3%A9/", "/api/%C3%A9/"),
            ("/api/\u00e9/", "/api/%C3%A9/"),
            ("/api/%22%27%3Cx%3E/", "/api/%22'%3Cx%3E/"),
            ("/api/%00/", "/api/%00/"),
            ("/api/%ff/", "/api/%FF/"),
            ("/api/%25ff/", "/api/%25ff/"),
            ("/api/%E2%80/x", "/api/%E2%80/x"),
            ("/api/a%3Fb%23c/", "/api/a%3Fb%23c/"),
            ("/api/payouts/%5Bx%5D/{y}|z", "/api/payouts/%5Bx%5D/%7By%7D%7Cz"),
            ("/api/a+b:c@d!$&'()*,;=~_.-/", "/api/a+b:c@d!$&'()*,;=~_.-/"),
            ("/api/idempotency-keys/a%22b%F0%9F%99%82/", "/api/idempotency-keys/a%22b%F0%9F%99%82/"),
        ],
    )
    def test_is_percent_encoded(self, api: Client, path: str, instance: str) -> None:
        assert api.get(path).json()["instance"] == instance

    def test_is_percent_encoded_in_a_refusal_of_a_middleware(self, client: Client, settings: Any) -> None:
        settings.SECURE_SSL_REDIRECT = True

        assert client.get("/api/%ff a/").json()["instance"] == "/api/%FF%20a/"


def test_middleware_of_the_edge_comes_first() -> None:
    names = [name.rsplit(".", 1)[1] for name in django_settings.MIDDLEWARE]

    assert names[:4] == ["RequestIdMiddleware", "HeadMiddleware", "HTTPSMiddleware", "SecurityMiddleware"]
