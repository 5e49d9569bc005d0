"""What nobody should send. Each is a 4xx that says what is wrong, and nothing is done for it."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

from tests.integration.sandbox_bank.caller import BEARER, TOKEN, Caller, body_of, terms_of

TARGET = "/v1/transfers/one"


def put(bank: Caller, body: bytes) -> tuple[int, str]:
    """Send the body and see that nothing came of it."""
    problem = bank.call("PUT", TARGET, body, BEARER).problem
    assert bank.book() == {
        "transfers": [],
        "refusals": [],
        "executions": 0,
        "callbacks": {"waiting": 0, "delivered": 0, "lost": 0},
    }
    return problem


def raw(bank: Caller, request: bytes) -> tuple[int, str]:
    """Send these bytes and nothing more; return status and code of the one answer."""
    with socket.create_connection(("127.0.0.1", bank.port), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    return int(head.split()[1]), json.loads(body)["code"]


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b'"text"',
            b"\xff",
            b"\xef\xbb\xbf" + body_of(),
            body_of().decode().encode("utf-16"),
            b"[" * 60_000,
            b'{"amount": NaN}',
            b'{"amount": ' + b"9" * 5000 + b"}",
            b'{"amount": "1.00", ' + body_of()[1:],
            body_of() + b"x",
        ],
        ids=lambda body: repr(body[:12]),
    )
    def test_is_a_json_object(self, bank: Caller, body: bytes) -> None:
        assert put(bank, body) == (400, "malformed_request")

    @pytest.mark.parametrize("name", ["amount", "currency", "recipient"])
    def test_lacks_nothing(self, bank: Caller, name: str) -> None:
        terms = terms_of()
        del terms[name]

        assert put(bank, json.dumps(terms).encode()) == (400, "malformed_request")

    def test_has_nothing_else(self, bank: Caller) -> None:
        assert put(bank, body_of(speed="fast")) == (400, "malformed_request")
        assert put(bank, body_of(recipient={**terms_of()["recipient"], "iban": "x"})) == (400, "malformed_request")

    @pytest.mark.parametrize(
        "amount",
        [
            "",
            "0",
            "0.00",
            "-1",
            "+1",
            "1.",
            ".5",
            "1,5",
            "1e3",
            " 1",
            "1\n",
            "01",
            "NaN",
            "1" * 16,
            "0." + "1" * 9,
            "\u0661",
            1,
            1.5,
            None,
            True,
            [],
        ],
    )
    def test_has_an_amount(self, bank: Caller, amount: Any) -> None:
        assert put(bank, body_of(amount=amount)) == (400, "malformed_request")

    @pytest.mark.parametrize("currency", ["", "eur", "EURO", "EU", "E1R", "EUR\n", 978, None])
    def test_has_a_currency(self, bank: Caller, currency: Any) -> None:
        assert put(bank, body_of(currency=currency)) == (400, "malformed_request")

    @pytest.mark.parametrize(
        "recipient",
        [
            None,
            [],
            "Jane",
            {},
            {"name": "Jane"},
            {"account": "a"},
            {"name": "", "account": "a"},
            {"name": "Jane", "account": ""},
            {"name": "Jane", "account": 1},
            {"name": "Jane", "account": "a", "country": None},
            {"name": "Jane", "account": "a", "country": "de"},
            {"name": "Jane", "account": "a", "country": "DEU"},
            {"name": "x" * 256, "account": "a"},
            {"name": "a\nb", "account": "a"},
            {"name": "a\x00b", "account": "a"},
            {"name": "\ud800", "account": "a"},
            {"name": "Jane", "account": "a", "address": {}},
        ],
    )
    def test_has_a_recipient(self, bank: Caller, recipient: Any) -> None:
        assert put(bank, body_of(recipient=recipient)) == (400, "malformed_request")

    def test_is_not_too_large(self, bank: Caller) -> None:
        for size in (64 * 1024 + 1, 500_000):
            assert put(bank, b" " * size) == (413, "malformed_request")

    def test_may_be_as_large_as_that(self, bank: Caller) -> None:
        assert bank.call("PUT", TARGET, body_of().ljust(64 * 1024), BEARER).status == 201

    def test_says_what_is_wrong(self, bank: Caller) -> None:
        answer = bank.call("PUT", TARGET, body_of(amount="1,5"), BEARER)

        assert answer.document["message"] == 'amount must be a positive decimal number such as "10.50".'


class TestReference:
    @pytest.mark.parametrize("reference", ["", "x" * 65, "a_b", "a/b", "a.b", "a%20b", "a%2Db", "one/", "%C3%BC"])
    def test_is_refused(self, bank: Caller, reference: str) -> None:
        for method, body in (("PUT", body_of()), ("GET", None)):
            answer = bank.call(method, f"/v1/transfers/{reference}", body, BEARER)
            assert answer.problem == (400, "malformed_request")

    @pytest.mark.parametrize("reference", ["a", "Z-9", "-", "x" * 64, "01a209aa-de23-72fe-8b78-a0e7ed73483a-2"])
    def test_is_taken(self, bank: Caller, reference: str) -> None:
        assert bank.put(reference).status == 201
        assert bank.get(reference).status == 200


class TestMethod:
    def test_is_one_that_the_address_knows(self, bank: Caller) -> None:
        for method, target, allowed in (
            ("POST", TARGET, "GET, PUT"),
            ("DELETE", TARGET, "GET, PUT"),
            ("PATCH", TARGET, "GET, PUT"),
            ("PUT", "/control/faults", "GET, POST"),
            ("POST", "/control/book", "GET"),
            ("POST", "/livez", "GET"),
        ):
            answer = bank.call(method, target, b"{}", BEARER)
            assert (answer.problem, answer.headers["Allow"]) == ((405, "method_not_allowed"), allowed)

    def test_without_a_body_gets_none(self, bank: Caller) -> None:
        answer = bank.call("HEAD", "/livez")

        assert (answer.status, answer.body) == (405, b"")


class TestRequest:
    @pytest.mark.parametrize(
        ("request_bytes", "status"),
        [
            (b"nonsense\r\n\r\n", 400),
            (b"GET /livez\r\n\r\n", 400),
            (b"GET /livez HTTP/2.0\r\n\r\n", 400),
            (b"GET /livez HTTP/x\r\n\r\n", 400),
            (b"GET / livez HTTP/1.1\r\n\r\n", 400),
            (b"BREW /livez HTTP/1.1\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400),
            (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
            (b"GET /livez HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
            (b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
            (b"PUT /livez HTTP/1.1\r\n\r\n", 411),
            (b"PUT /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
            (b"PUT /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"PUT /livez HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n", 400),
            (b"PUT /livez HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\nx", 400),
            (b"PUT /livez HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
            (b"PUT /livez HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\nx", 413),
        ],
        ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
    )
    def test_is_http(self, bank: Caller, request_bytes: bytes, status: int) -> None:
        assert raw(bank, request_bytes) == (status, "malformed_request")
        # The bank goes on.
        assert bank.call("GET", "/livez").status == 200

    def test_that_is_too_large_is_refused_before_it_has_come(self, bank: Caller) -> None:
        with socket.create_connection(("127.0.0.1", bank.port), timeout=5) as connection:
            connection.sendall(f"PUT {TARGET} HTTP/1.1\r\nContent-Length: 999999\r\n\r\n{{".encode())

            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
            # Who goes on sending before he reads is not cut off in the middle of it.
            for _ in range(5):
                connection.sendall(b" " * 10_000)
                time.sleep(0.02)

    def test_that_ends_early_is_not_served(self, bank: Caller, capsys: pytest.CaptureFixture[str]) -> None:
        body = body_of()
        head = f"PUT {TARGET} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", bank.port), timeout=5) as connection:
            connection.sendall(head.encode() + body[:-1])
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""

        assert bank.get("one").problem == (404, "transfer_not_found")
        assert "Traceback" not in capsys.readouterr().err

    def test_may_ask_whether_to_go_on(self, bank: Caller) -> None:
        body = body_of()
        head = f"PUT {TARGET} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n"
        with socket.create_connection(("127.0.0.1", bank.port), timeout=5) as connection:
            connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 201 Created\r\n")
