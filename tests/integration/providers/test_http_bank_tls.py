"""TLS. The certificates in tls/ are made for these tests alone: their keys are known to all, and guard nothing."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from payouts.providers import base
from tests.integration.providers.scripted_server import Connection, Script, ScriptedServer, http, serving
from tests.unit.payouts.providers import banks

TLS = Path(__file__).parent / "tls"
AUTHORITY = str(TLS / "authority.pem")
PAID = http(201, banks.as_json(banks.transfer()))


def secured(script: Script, *, certificate: str = "bank", context: ssl.SSLContext | None = None) -> Script:
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / f"{certificate}.pem")

    def over_tls(connection: Connection) -> None:
        connection.secure(context)
        script(connection)

    return over_tls


def pay(connection: Connection) -> None:
    while True:
        connection.read_request()
        connection.send(PAID)


def send(server: ScriptedServer, *, host: str = "127.0.0.1", **options: Any) -> base.Report:
    options.setdefault("ca_file", AUTHORITY)
    with closing(banks.provider(f"https://{host}:{server.port}/v1", **options)) as provider:
        return provider.send(banks.INSTRUCTION)


def refusal_of(server: ScriptedServer, **options: Any) -> base.Unavailable:
    """Return why nothing was sent, which it must not have been."""
    with pytest.raises(base.Unavailable) as refusal:
        send(server, **options)
    assert server.requests == []
    return refusal.value


def test_pays_over_tls() -> None:
    with serving(secured(pay)) as server:
        report = send(server)

    assert report.kind is base.ReportKind.PAID


def test_uses_a_connection_again() -> None:
    with (
        serving(secured(pay)) as server,
        closing(banks.provider(f"https://127.0.0.1:{server.port}/v1", ca_file=AUTHORITY)) as provider,
    ):
        for _ in range(3):
            provider.send(banks.INSTRUCTION)

    assert (server.connections_count, len(server.requests)) == (1, 3)


class TestNothingIsSent:
    def test_to_a_bank_that_no_authority_vouches_for(self) -> None:
        with serving(secured(pay)) as server:
            refusal = refusal_of(server, ca_file="")

        assert refusal.code == "certificate_refused"
        assert "unable to get local issuer certificate" in str(refusal)

    @pytest.mark.parametrize(
        ("certificate", "host", "reason"),
        [
            ("elsewhere", "127.0.0.1", "IP address mismatch"),
            ("bank", "localhost", "Hostname mismatch"),
            ("expired", "127.0.0.1", "certificate has expired"),
        ],
    )
    def test_to_a_bank_with_another_certificate(self, certificate: str, host: str, reason: str) -> None:
        with serving(secured(pay, certificate=certificate)) as server:
            refusal = refusal_of(server, host=host)

        assert refusal.code == "certificate_refused"
        assert reason in str(refusal)

    def test_with_an_encryption_of_yesterday(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        with serving(secured(pay, context=context)) as server:
            assert refusal_of(server).code == "tls_failed"

    def test_to_a_server_that_speaks_no_tls(self) -> None:
        with serving(lambda connection: connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server:
            assert refusal_of(server).code == "tls_failed"

    def test_to_a_server_that_breaks_off(self) -> None:
        with serving(lambda connection: connection.reset()) as server:
            assert refusal_of(server).code in {"connection_failed", "tls_failed"}

    def test_to_a_server_that_closes(self) -> None:
        with serving(lambda connection: connection.close()) as server:
            assert refusal_of(server).code in {"connection_failed", "tls_failed"}

    def test_to_a_server_that_does_not_shake_hands(self) -> None:
        with serving(lambda connection: connection.wait_until_closed()) as server:
            started_at = time.monotonic()
            refusal = refusal_of(server, timeout_seconds=2.0)

        assert refusal.code == "connect_timeout"
        assert time.monotonic() - started_at < 0.9

    def test_to_a_server_that_shakes_hands_byte_by_byte(self) -> None:
        # The beginning of a handshake record that announces 16 kB.
        with serving(
            lambda connection: connection.dribble(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(500))
        ) as server:
            started_at = time.monotonic()
            refusal = refusal_of(server, timeout_seconds=2.0)

        assert refusal.code == "connect_timeout"
        assert time.monotonic() - started_at < 0.9

    def test_to_a_server_whose_name_and_handshake_take_too_long_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        look_up, pauses_seconds = socket.getaddrinfo, iter([0.7])

        def look_up_slowly(*args: Any, **options: Any) -> Any:
            time.sleep(next(pauses_seconds, 0.0))
            return look_up(*args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)
        with serving(lambda connection: connection.wait_until_closed()) as server:
            started_at = time.monotonic()
            refusal = refusal_of(server, timeout_seconds=10.0)

        assert refusal.code == "connect_timeout"
        assert 1.0 <= time.monotonic() - started_at < 1.5


class TestOutcomeIsUnknown:
    def test_when_the_answer_dribbles_within_its_records(self) -> None:
        """A wait for a whole record is bounded too: one byte of it now and then is not enough."""
        with serving(_dribbling_proxy) as server:
            started_at = time.monotonic()
            with pytest.raises(base.OutcomeUnknown) as lost:
                send(server, timeout_seconds=1.0)

        assert lost.value.code in {"read_timeout", "total_timeout"}
        assert time.monotonic() - started_at < 1.5

    def test_when_the_end_is_cut_off(self) -> None:
        def cut(connection: Connection) -> None:
            connection.read_request()
            connection.send(PAID[:-10])

        with serving(secured(cut)) as server, pytest.raises(base.OutcomeUnknown) as lost:
            send(server)

        assert lost.value.code == "connection_lost"

    def test_when_it_breaks_after_the_request(self) -> None:
        def reset(connection: Connection) -> None:
            connection.read_request()
            connection.reset()

        with serving(secured(reset)) as server, pytest.raises(base.OutcomeUnknown) as lost:
            send(server)

        assert lost.value.code == "connection_lost"


def _dribbling_proxy(connection: Connection) -> None:
    """Stand between the caller and a bank, and hand on what the bank says byte by byte once the request is through."""
    with serving(secured(pay)) as bank, socket.create_connection(("127.0.0.1", bank.port), 5) as inner:

        def hand_in() -> None:
            try:
                while data := connection._socket.recv(65536):
                    inner.sendall(data)
            except OSError:
                pass

        forward = threading.Thread(target=hand_in, daemon=True)
        forward.start()
        while data := inner.recv(65536):
            if bank.requests:
                connection.dribble(data)
            else:
                connection.send(data)
