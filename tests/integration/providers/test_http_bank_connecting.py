"""What goes wrong before anything is sent: it may be tried again, and nobody need be asked."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal

import httpx
import pytest

from payouts.providers import base
from payouts.providers.http_bank import transport as bank_transport
from tests.integration.providers.calling import call, summary
from tests.integration.providers.scripted_server import answering, http, serving
from tests.unit.payouts.providers import banks

PAID = http(201, banks.as_json(banks.transfer()))


@contextmanager
def full_backlog() -> Iterator[int]:
    """Listen, but leave who comes waiting for the first answer of TCP, as behind a firewall that drops everything."""
    with ExitStack() as opened, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@contextmanager
def nobody() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"


class TestNothingSent:
    def test_when_nobody_answers_within_a_tenth_of_the_time(self) -> None:
        with full_backlog() as port:
            started_at = time.monotonic()
            answer = call("send", f"http://127.0.0.1:{port}/v1", timeout_seconds=2.0)
            seconds = time.monotonic() - started_at

        assert summary(answer) == "Unavailable: connect_timeout"
        assert 0.2 <= seconds < 0.7

    @pytest.mark.parametrize("kind", ["send", "ask"])
    def test_when_nobody_listens(self, kind: str) -> None:
        with nobody() as url:
            assert summary(call(kind, url)) == "Unavailable: connection_refused"

    @pytest.mark.parametrize("kind", ["send", "ask"])
    def test_when_the_name_has_no_address(self, kind: str) -> None:
        # RFC 6761: there is never such a name, and nobody need be asked for it.
        assert summary(call(kind, "http://bank.invalid/v1")) == "Unavailable: name_not_found"

    def test_when_looking_up_the_name_takes_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1.0))

        started_at = time.monotonic()
        answer = call("send", "http://bank.example/v1", timeout_seconds=2.0)

        assert summary(answer) == "Unavailable: connect_timeout"
        assert time.monotonic() - started_at < 0.9

    def test_when_there_is_no_way_to_the_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # An address for documentation, in a family that this machine cannot speak.
        place = (socket.AF_INET, socket.SOCK_STREAM, 12345, "", ("192.0.2.1", 80))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [place])

        assert summary(call("send", "http://bank.example/v1")) == "Unavailable: connection_failed"

    def test_when_connecting_fails_in_a_way_that_nobody_thought_of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise UnicodeError("label too long")

        monkeypatch.setattr(socket, "getaddrinfo", fail)

        assert summary(call("send", "http://bank.example/v1")) == "Unavailable: unexpected_error"

    def test_for_an_instruction_that_is_none(self) -> None:
        with serving(answering(PAID)) as server, closing(banks.provider(server.url)) as provider:
            for reference in ("../x", "", "r" * 65):
                told = banks.instruction(reference=reference)
                # It can never be sent, so that there is nothing to try again; who only asks fails no payout.
                for one, kind in ((provider.send, base.Rejected), (provider.ask, base.Unavailable)):
                    with pytest.raises(kind) as refusal:
                        one(told)
                    assert refusal.value.code == "instruction_unusable"
            with pytest.raises(base.Rejected) as refusal:
                provider.send(banks.instruction(amount=Decimal(-1)))
            assert refusal.value.code == "instruction_unusable"

        assert server.connections_count == 0

    def test_when_the_request_cannot_be_written_in_http(self) -> None:
        with serving(answering(PAID)) as server:
            transport = bank_transport.Transport(5.0, None)
            with closing(transport), pytest.raises(base.Unavailable) as refusal:
                transport.exchange(httpx.Request("GET", server.url, headers={"X": "a\r\nY: b"}))

        assert refusal.value.code == "unexpected_error"
        assert server.requests == []


class TestAddresses:
    def test_are_tried_in_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As `localhost` does where the bank listens on one of its two addresses alone."""
        with serving(answering(PAID)) as server, nobody() as nobodys:
            ports = [int(nobodys.split(":")[2].split("/")[0]), server.port]
            places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)

            assert summary(call("send", "http://bank.example/v1")) == "paid"

    def test_that_do_not_answer_leave_time_for_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with serving(answering(PAID)) as server, full_backlog() as full:
            places = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (full, server.port)]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: places)

            assert summary(call("send", "http://bank.example/v1", timeout_seconds=3.0)) == "paid"
