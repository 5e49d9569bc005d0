"""What never becomes a request of Django's is refused with a problem document all the same."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from payouts.models import Payout
from tests.chaos.server.conftest import Answer, Raw

pytestmark = pytest.mark.django_db(transaction=True)

HOST = b"Host: 127.0.0.1\r\n"
CHUNKED = b"POST /api/payouts/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

REFUSED = {
    "no request at all": (b"hello\r\n\r\n", 400, "invalid_request"),
    "a method in lower case": (b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n", 400, "invalid_request"),
    "another version": (b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n", 505, "http_version_not_supported"),
    "a path that is not encoded": (b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "invalid_request"),
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n", 400, "invalid_request"),
    "an empty host": (b"GET /livez HTTP/1.1\r\nHost: \r\n\r\n", 400, "invalid_request"),
    "two hosts": (b"GET /livez HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, "invalid_request"),
    "a host that is not ours": (b"GET /api/me/ HTTP/1.1\r\nHost: evil\r\n\r\n", 400, "invalid_request"),
    "a header without a name": (b"GET /livez HTTP/1.1\r\n" + HOST + b": x\r\n\r\n", 400, "invalid_request"),
    "a header in two lines": (b"GET /livez HTTP/1.1\r\n" + HOST + b"A: x\r\n y\r\n\r\n", 400, "invalid_request"),
    "two lengths": (
        b"POST /api/payouts/ HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        "invalid_request",
    ),
    "a length and chunks": (
        b"POST /api/payouts/ HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "invalid_request",
    ),
    "a chunk without a size": (CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n", 400, "invalid_request"),
    "a long request line": (
        b"GET /api/payouts/?search=" + b"x" * 8200 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        414,
        "request_line_too_long",
    ),
    "an expectation": (b"GET /livez HTTP/1.1\r\n" + HOST + b"Expect: x\r\n\r\n", 417, "expectation_failed"),
    "a long header": (b"GET /livez HTTP/1.1\r\n" + HOST + b"A: " + b"x" * 8200 + b"\r\n\r\n", 431, "headers_too_large"),
    "many headers": (b"GET /livez HTTP/1.1\r\n" + HOST + b"A: x\r\n" * 101 + b"\r\n", 431, "headers_too_large"),
    "another coding": (
        b"POST /api/payouts/ HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: x\r\n\r\n",
        501,
        "transfer_coding_unknown",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_a_problem_document(ask: Callable[[bytes], Answer], name: str) -> None:
    data, status, code = REFUSED[name]

    answer = ask(data)

    problem = answer.document
    assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == problem["request_id"]
    assert UUID.fullmatch(problem["request_id"])
    assert problem["type"] == "about:blank"
    assert problem["title"] != ""
    assert problem["detail"] != ""
    assert not Payout.objects.exists()


@pytest.mark.parametrize("name", ["no host", "an empty host", "two hosts"])
def test_says_what_a_host_is(ask: Callable[[bytes], Answer], name: str) -> None:
    problem = ask(REFUSED[name][0]).document

    assert problem["detail"] == "A request has one header Host, which is not empty (RFC 9112, section 3.2)."
    assert problem["errors"] == [{"field": "request", "code": "malformed", "message": problem["detail"]}]


def test_needs_no_host_of_http_1_0(ask: Callable[[bytes], Answer]) -> None:
    assert ask(b"GET /livez HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").status == 200


def test_has_the_id_of_the_caller_where_it_is_known(ask: Callable[[bytes], Answer]) -> None:
    answer = ask(b"GET /livez HTTP/1.1\r\nX-Request-Id: order-1\r\n\r\n")

    assert (answer.status, answer.headers["x-request-id"]) == (400, "order-1")


def test_has_no_body_for_head(connect: Callable[..., Raw]) -> None:
    raw = connect()
    raw.send(b"HEAD /livez HTTP/1.1\r\n\r\n")

    status, headers = raw.head()

    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert raw.rest() == b""


def test_ends_the_connection(connect: Callable[..., Raw]) -> None:
    raw = connect()
    raw.send(b"GET /livez HTTP/1.1\r\n\r\n" + b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")

    assert raw.answer().headers["connection"] == "close"
    assert raw.rest() == b""
