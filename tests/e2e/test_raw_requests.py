"""Requests that no HTTP library sends, by bare sockets to the real web server."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import factories
from tests.support.stack import Stack

BODY = json.dumps(factories.payout_body())


@pytest.fixture(scope="module")
def api_key(stack: Stack) -> str:
    return stack.issue_api_key("raw")


def exchange(stack: Stack, *lines: str, body: str = "", version: str = "1.1") -> tuple[int, str]:
    """Send a request of these lines, the first without its version; return the status and all that came back."""
    address = urlsplit(stack.base_url)
    head = [f"{lines[0]} HTTP/{version}", *lines[1:], "Connection: close"]
    if body:
        head.append(f"Content-Length: {len(body)}")
    with socket.create_connection((str(address.hostname), int(address.port or 80)), timeout=20) as connection:
        connection.sendall("\r\n".join([*head, "", body]).encode())
        answer = b""
        while received := connection.recv(65536):
            answer += received
    text = answer.decode("utf-8", "replace")
    found = re.match(r"HTTP/1\.[01] (\d{3})", text)
    assert found is not None, text
    return int(found[1]), text


def length_of(answer: str) -> str | None:
    found = re.search(r"^content-length: (\d+)\r$", answer, re.MULTILINE | re.IGNORECASE)
    return found and found[1]


def payouts_of(stack: Stack, api_key: str) -> int:
    answer = httpx.get(f"{stack.base_url}/api/payouts/", headers={"Authorization": f"Api-Key {api_key}"})
    return len(answer.json()["results"])


def post(stack: Stack, api_key: str, *headers: str) -> int:
    lines = ["POST /api/payouts/", "Host: localhost", f"Authorization: Api-Key {api_key}", *headers]
    return exchange(stack, *lines, body=BODY)[0]


class TestUnderscores:
    @pytest.mark.parametrize("name", ["Idempotency_Key", "idempotency_key", "IDEMPOTENCY_KEY", "X_Forwarded_For"])
    def test_are_refused_and_nothing_is_done(self, stack: Stack, api_key: str, name: str) -> None:
        before = payouts_of(stack, api_key)

        assert post(stack, api_key, "Content-Type: application/json", f"{name}: order-1") == 400
        # Beside the right one, too.
        both = ("Content-Type: application/json", "Idempotency-Key: order-1", f"{name}: order-2")
        assert post(stack, api_key, *both) == 400
        assert payouts_of(stack, api_key) == before


class TestBodies:
    def test_of_two_types_are_refused(self, stack: Stack, api_key: str) -> None:
        """By the server itself, which takes it for two messages in one."""
        before = payouts_of(stack, api_key)

        for other in ("application/json", "text/plain"):
            assert post(stack, api_key, "Content-Type: application/json", f"Content-Type: {other}") == 400
        assert payouts_of(stack, api_key) == before

    def test_of_two_codings_are_refused(self, stack: Stack, api_key: str) -> None:
        headers = ("Content-Type: application/json", "Content-Encoding: identity", "Content-Encoding: gzip")

        assert post(stack, api_key, *headers) == 415


class TestHealth:
    @pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
    def test_is_answered_whatever_the_host(self, stack: Stack, path: str) -> None:
        hosts = ("10.0.0.7:8000", "evil.example", "a_b", "x" * 300, "[::1]:1")

        assert {host: exchange(stack, f"GET {path}", f"Host: {host}")[0] for host in hosts} == dict.fromkeys(hosts, 200)
        # As some load balancers ask.
        assert exchange(stack, f"GET {path}", version="1.0")[0] == 200

    def test_is_the_only_such_page(self, stack: Stack) -> None:
        assert exchange(stack, "GET /api/me/", "Host: evil.example")[0] == 400


class TestHead:
    def test_leaves_no_warning_and_sends_no_body(self, stack: Stack, api_key: str) -> None:
        log = next(Path(str(stack.directory), "logs").glob("web*"))
        before = log.read_text(encoding="utf-8")
        paths = (
            "/livez",
            "/",
            "/admin/login/",
            "/api/schema/",
            "/api/payouts/",
            "/api/me/",
            "/nowhere",
            "/api/payouts/x/",
        )
        headers = ("Host: localhost", f"Authorization: Api-Key {api_key}")

        for path in paths:
            got, asked = (exchange(stack, f"{method} {path}", *headers) for method in ("GET", "HEAD"))
            assert (path, asked[0]) == (path, got[0])
            assert asked[1].partition("\r\n\r\n")[2] == ""
            assert length_of(asked[1]) == length_of(got[1])

        assert "WARNING" not in log.read_text(encoding="utf-8").removeprefix(before)
