"""What goes over the wire, and over which one: connections are used again, and nothing is ever written twice."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest

from payouts.providers import base
from payouts.providers.http_bank import sockets, transport
from payouts.providers.http_bank.provider import HttpBankProvider
from tests.integration.providers.scripted_server import (
    Connection,
    Script,
    ScriptedServer,
    answering,
    http,
    serving,
)
from tests.unit.payouts.providers import banks
from tests.unit.payouts.providers.banks import INSTRUCTION, as_json

PAID = http(201, as_json(banks.transfer()))
REFUSED = http(422, as_json(banks.refusal()))


class TooLate(Exception):
    pass


def pay_each(connection: Connection) -> None:
    """Pay whatever comes, under its own reference, for as long as something comes."""
    while True:
        request = connection.read_request()
        reference = request.target.rpartition("/")[2]
        connection.send(http(201, as_json(banks.transfer(reference=reference, id=f"tr_{reference}"))))


@contextmanager
def bank(*scripts: Script, **options: Any) -> Iterator[tuple[ScriptedServer, HttpBankProvider]]:
    with serving(*scripts) as server, closing(banks.provider(server.url, **options)) as provider:
        yield server, provider


class TestRequest:
    def test_to_pay(self) -> None:
        with bank(answering(PAID)) as (server, provider):
            provider.send(INSTRUCTION)
            host = f"127.0.0.1:{server.port}"

        (request,) = server.requests
        assert (request.method, request.target) == ("PUT", f"/v1/transfers/{INSTRUCTION.reference}")
        assert json.loads(request.body) == {
            "amount": "10.50",
            "currency": "EUR",
            "recipient": {"name": "Jane Doe", "account": "DE89370400440532013000"},
        }
        assert request.headers == {
            "host": host,
            "user-agent": "payouts",
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json",
            "content-length": str(len(request.body)),
            "authorization": f"Bearer {banks.TOKEN}",
        }

    def test_to_ask(self) -> None:
        with bank(answering(http(200, as_json(banks.transfer())))) as (server, provider):
            provider.ask(INSTRUCTION)

        (request,) = server.requests
        assert (request.method, request.target) == ("GET", f"/v1/transfers/{INSTRUCTION.reference}")
        assert request.body == b""
        assert request.headers.keys() == {"host", "user-agent", "accept", "accept-encoding", "authorization"}

    @pytest.mark.parametrize("kind", ["send", "ask"])
    def test_is_signed_where_there_is_a_secret(self, kind: str) -> None:
        with bank(answering(http(200, as_json(banks.transfer()))), signing_secret=banks.SECRET) as (server, provider):
            getattr(provider, kind)(INSTRUCTION)

        (request,) = server.requests
        timestamp = request.headers["payouts-timestamp"]
        signed = f"{timestamp}.{request.method}.{request.target}.".encode() + request.body
        signature = hmac.new(banks.SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert request.headers["payouts-signature"] == f"v1={signature}"
        assert abs(time.time() - int(timestamp)) < 10
        assert "authorization" not in request.headers

    def test_goes_to_the_bank_and_to_no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        with bank(answering(PAID)) as (server, provider):
            provider.send(INSTRUCTION)

        assert len(server.requests) == 1

    def test_carries_no_cookie_of_the_answer_before(self) -> None:
        cookie = http(201, as_json(banks.transfer()), "Set-Cookie: session=1; Path=/")
        with bank(answering(cookie, PAID)) as (server, provider):
            provider.send(INSTRUCTION)
            provider.send(INSTRUCTION)

        assert "cookie" not in server.requests[1].headers


class TestConnection:
    def test_is_used_again(self) -> None:
        with bank(pay_each) as (server, provider):
            for _ in range(5):
                provider.send(banks.instruction())

        assert (server.connections_count, len(server.requests)) == (1, 5)

    def test_is_used_again_after_a_refusal(self) -> None:
        with bank(answering(REFUSED, PAID)) as (server, provider):
            with pytest.raises(base.Rejected):
                provider.send(INSTRUCTION)
            provider.send(INSTRUCTION)

        assert server.connections_count == 1

    @pytest.mark.parametrize(
        "answer",
        [
            http(201, as_json(banks.transfer()), "Connection: close"),
            PAID.replace(b"HTTP/1.1", b"HTTP/1.0"),
            PAID + b"x",
            PAID.replace(b"\r\n", b"\n"),
        ],
        ids=["that is to be closed", "of old", "with something behind the answer", "with odd line ends"],
    )
    def test_is_not_used_again(self, answer: bytes) -> None:
        def answer_and_stay(connection: Connection) -> None:
            connection.read_request()
            connection.send(answer)
            connection.wait_until_closed()

        with bank(answer_and_stay, answering(PAID)) as (server, provider):
            provider.send(INSTRUCTION)
            assert provider.send(INSTRUCTION).kind is base.ReportKind.PAID

        assert server.connections_count == 2

    # A late second answer to one payout would be the refusal of the next, which the bank executes.
    @pytest.mark.parametrize("pause_seconds", [0.0, 0.05], ids=["at once", "a little later"])
    def test_does_not_mix_up_answers(self, pause_seconds: float) -> None:
        def answer_twice(connection: Connection) -> None:
            connection.read_request()
            if pause_seconds:
                connection.send(REFUSED)
                time.sleep(pause_seconds)
                connection.send(REFUSED)
            else:
                connection.send(REFUSED + REFUSED)
            connection.wait_until_closed()

        with bank(answer_twice, answering(PAID)) as (_, provider):
            with pytest.raises(base.Rejected):
                provider.send(INSTRUCTION)
            time.sleep(2 * pause_seconds)
            assert provider.send(INSTRUCTION).kind is base.ReportKind.PAID

    def test_is_not_offered_again_until_its_answer_was_seen_to_end(self) -> None:
        """Wherever a call is broken off: httpcore offers no connection that is readable."""
        with serving(pay_each) as server:
            now = time.monotonic()
            token = sockets.CURRENT.set(sockets.Call(now + 5.0, now + 5.0))
            stream = sockets.Backend().connect_tcp("127.0.0.1", server.port)
            with closing(stream):
                assert isinstance(stream, sockets.Stream)
                stream.is_clean = True
                before = stream.get_extra_info("is_readable")
                stream.write(b"PUT ")
                afterwards = stream.get_extra_info("is_readable")
            sockets.CURRENT.reset(token)

        assert (before, afterwards) == (False, True)

    def test_that_the_bank_has_closed_is_replaced(self) -> None:
        with bank(answering(PAID), answering(PAID)) as (server, provider):
            provider.send(INSTRUCTION)
            time.sleep(0.1)
            assert provider.send(INSTRUCTION).kind is base.ReportKind.PAID

        assert (server.connections_count, len(server.requests)) == (2, 2)

    def test_that_the_bank_closes_just_then_leaves_the_outcome_unknown(self) -> None:
        """The request is on its way when the end comes: it may have been read, so it is not written again."""

        def answer_once(connection: Connection) -> None:
            connection.read_request()
            connection.send(PAID)
            connection.read_request()

        with bank(answer_once, answering(PAID)) as (server, provider):
            provider.send(INSTRUCTION)
            with pytest.raises(base.OutcomeUnknown) as lost:
                provider.send(INSTRUCTION)

        assert lost.value.code == "connection_lost"
        assert (server.connections_count, len(server.requests)) == (1, 2)

    def test_is_not_kept_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "IDLE_SECONDS_MAX", 0.05)
        with bank(pay_each) as (server, provider):
            provider.send(INSTRUCTION)
            time.sleep(0.1)
            provider.send(INSTRUCTION)

        assert server.connections_count == 2

    # As by the signal with which a worker is told that a task takes too long; Celery's is an Exception.
    @pytest.mark.parametrize("interruption", [KeyboardInterrupt, TooLate])
    def test_is_closed_when_the_call_is_interrupted(self, interruption: type[BaseException]) -> None:
        def interrupt(*_: object) -> None:
            raise interruption

        def answer_late(connection: Connection) -> None:
            connection.read_request()
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05)
            connection.send(REFUSED)
            connection.wait_until_closed()

        expected = base.OutcomeUnknown if interruption is TooLate else interruption
        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            with bank(answer_late, answering(PAID)) as (server, provider):
                with pytest.raises(expected) as interrupted:
                    provider.send(INSTRUCTION)
                time.sleep(0.1)
                # The answer that came too late is nobody's any more.
                assert provider.send(INSTRUCTION).kind is base.ReportKind.PAID
        finally:
            signal.signal(signal.SIGUSR1, before)

        assert server.connections_count == 2
        if isinstance(interrupted.value, base.ProviderError):
            assert (interrupted.value.code, interrupted.value.message) == ("unexpected_error", "TooLate")


class TestThreads:
    def test_share_a_provider_and_no_connection(self) -> None:
        references = [banks.instruction() for _ in range(40)]
        with bank(pay_each) as (server, provider), ThreadPoolExecutor(6) as pool:
            reports = list(pool.map(provider.send, references))

        assert [report.provider_reference for report in reports] == [f"tr_{told.reference}" for told in references]
        assert len(server.requests) == 40
        assert server.connections_count <= 6

    def test_leave_a_bounded_number_of_connections(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transport, "IDLE_CONNECTIONS_MAX", 2)
        together = threading.Barrier(5)

        def pay_together(connection: Connection) -> None:
            request = connection.read_request()
            together.wait(10)
            connection.send(http(201, as_json(banks.transfer(reference=request.target.rpartition("/")[2]))))
            connection.wait_until_closed()

        with bank(pay_together) as (server, provider), ThreadPoolExecutor(5) as pool:
            list(pool.map(provider.send, [banks.instruction() for _ in range(5)]))
            (client,) = provider._transport._clients.values()
            assert len(client._transport._pool.connections) == 2  # type: ignore[attr-defined]

        assert server.connections_count == 5


# From Python 3.12 on: the server of the test has threads.
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
class TestFork:
    def test_gives_each_process_its_own_connections(self) -> None:
        """A worker's processes are made after the provider, and may be after its first call."""
        with bank(pay_each) as (server, provider):
            provider.send(INSTRUCTION)

            in_child = self._in_a_child(lambda: provider.send(banks.instruction()))
            afterwards = provider.send(INSTRUCTION)

        assert in_child == 0
        assert afterwards.kind is base.ReportKind.PAID
        # The child has made one, and the parent's is as good as before.
        assert (server.connections_count, len(server.requests)) == (2, 3)

    def test_waits_for_no_lock_that_was_taken_then(self) -> None:
        with bank(pay_each) as (server, provider):
            provider.send(INSTRUCTION)
            (client,) = provider._transport._clients.values()

            # As another thread of the parent may have, which is not in the child to give it back.
            with client._transport._pool._optional_thread_lock:  # type: ignore[attr-defined]
                in_child = self._in_a_child(lambda: provider.send(banks.instruction()))
            provider.send(INSTRUCTION)

        assert in_child == 0
        assert (server.connections_count, len(server.requests)) == (2, 3)

    def _in_a_child(self, act: Any) -> int:
        child = os.fork()
        if child == 0:
            # One that waits for ever is ended, and does not stay behind.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            code = 1
            try:
                act()
                code = 0
            except BaseException:  # noqa: BLE001 - nothing of the tests may go on in here
                traceback.print_exc()
            finally:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
