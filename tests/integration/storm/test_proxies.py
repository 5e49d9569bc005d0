from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.db import connection

from devstack.processes import ports
from tests.storm import proxies
from tests.storm.proxies import Mode, Wire, Wires

SILENCE_SECONDS = 0.3


class Echo(socketserver.ThreadingTCPServer):
    """Answers each thing that it is told with the same, and remembers it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__((ports.LOOPBACK, 0), _EchoHandler)
        self.heard: list[bytes] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _EchoHandler(socketserver.BaseRequestHandler):
    server: Echo

    def handle(self) -> None:
        # Most of these connections are broken in the end.
        with contextlib.suppress(ConnectionError):
            while said := self.request.recv(4096):
                self.server.heard.append(said)
                self.request.sendall(said)


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wires]:
    """Wires that strike everything that they can strike."""
    monkeypatch.setattr(proxies, "SHARE_STRUCK", 1.0)
    with Wires(seed=1) as laid:
        yield laid


def wire_of(wires: Wires) -> Wire:
    (wire,) = wires.all
    return wire


def connect(port: int) -> socket.socket:
    return socket.create_connection((ports.LOOPBACK, port), timeout=5)


def say(line: socket.socket, words: bytes) -> bytes:
    """Say something and return what came back; nothing where the connection broke."""
    try:
        line.sendall(words)
        return line.recv(4096)
    except ConnectionError:
        return b""


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestWire:
    def test_passes_on_what_is_said_and_answered(self, wires: Wires, echo: Echo) -> None:
        with connect(wires.add("wire", upstream_port=echo.port)) as line:
            assert [say(line, b"one"), say(line, b"two")] == [b"one", b"two"]

        assert wire_of(wires).cut == 0

    def test_moves_to_another_port(self, wires: Wires, echo: Echo) -> None:
        old = wires.add("wire", upstream_port=echo.port)

        new = wires.move("wire")

        assert wires.port_of("wire") == new != old
        with connect(new) as line:
            assert say(line, b"one") == b"one"
        with pytest.raises(ConnectionRefusedError):
            connect(old)
        # Nothing answers there any more, in peace either.
        wires.heal()
        with pytest.raises(ConnectionRefusedError):
            connect(old)

    def test_reaches_another_server_at_the_same_port(self, wires: Wires, echo: Echo) -> None:
        port = wires.add("wire", upstream_port=ports.free())

        wires.reroute("wire", upstream_port=echo.port)

        with connect(port) as line:
            assert say(line, b"one") == b"one"

    def test_passes_on_the_end_of_either_side(self, wires: Wires, echo: Echo) -> None:
        port = wires.add("wire", upstream_port=echo.port)
        with connect(port) as line:
            say(line, b"one")
        wait_until(lambda: not wire_of(wires).calls)

    def test_breaks_a_call_for_somebody_who_is_not_there(self, wires: Wires) -> None:
        port = wires.add("to nobody", upstream_port=ports.free())

        # It may break while it is made, or a moment later.
        with pytest.raises(ConnectionResetError), connect(port) as line:
            line.recv(1)

    def test_refuses_and_takes_calls_again_on_the_same_port(self, wires: Wires, echo: Echo) -> None:
        port = wires.add("wire", upstream_port=echo.port)
        with connect(port) as line:
            say(line, b"one")
            wires.set_mode("wire", Mode.REFUSE)
            assert say(line, b"two") == b""
        with pytest.raises(ConnectionRefusedError):
            connect(port)

        wires.set_mode("wire", Mode.PASS)

        with connect(port) as line:
            assert say(line, b"three") == b"three"
        assert echo.heard == [b"one", b"three"]
        assert wire_of(wires).cut == 1

    def test_cuts_what_is_connected_and_takes_new_calls(self, wires: Wires, echo: Echo) -> None:
        port = wires.add("wire", upstream_port=echo.port)
        with connect(port) as line:
            say(line, b"one")
            wires.cut("wire")
            with pytest.raises(ConnectionResetError):
                line.recv(10)
        with connect(port) as line:
            assert say(line, b"two") == b"two"

    def test_is_silent_and_delivers_later(self, wires: Wires, echo: Echo) -> None:
        port = wires.add("wire", upstream_port=echo.port)
        with connect(port) as before:
            say(before, b"one")
            wires.set_mode("wire", Mode.SILENCE)
            with connect(port) as meanwhile:
                before.sendall(b"two")
                meanwhile.sendall(b"three")
                time.sleep(SILENCE_SECONDS)
                assert echo.heard == [b"one"]

                wires.heal()

                assert (before.recv(10), meanwhile.recv(10)) == (b"two", b"three")

    def test_delivers_later_what_a_caller_said_that_has_hung_up_since(self, wires: Wires, echo: Echo) -> None:
        port = wires.add("wire", upstream_port=echo.port)
        wires.set_mode("wire", Mode.SILENCE)
        with connect(port) as line:
            line.sendall(b"pay")
        time.sleep(SILENCE_SECONDS)

        wires.heal()

        wait_until(lambda: echo.heard == [b"pay"])
        wait_until(lambda: not wire_of(wires).calls)

    def test_holds_up_some_connections(self, wires: Wires, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
        port = wires.add("wire", upstream_port=echo.port)
        wires.set_mode("wire", Mode.DELAY)
        with connect(port) as held_up:
            held_up.sendall(b"pay")
            wait_until(lambda: len(wire_of(wires).calls) == 1)
            monkeypatch.setattr(proxies, "SHARE_STRUCK", 0.0)
            with connect(port) as passing:
                assert say(passing, b"paid?") == b"paid?"

            wires.heal()

            assert held_up.recv(10) == b"pay"
        assert echo.heard == [b"paid?", b"pay"]

    def test_loses_an_answer_and_not_the_request(self, wires: Wires, echo: Echo) -> None:
        port = wires.add("wire", upstream_port=echo.port)
        with connect(port) as line:
            wires.set_mode("wire", Mode.LOSE_ANSWERS)

            assert say(line, b"pay") == b""

        assert echo.heard == [b"pay"]
        assert wire_of(wires).lost[Mode.LOSE_ANSWERS] == 1


@pytest.fixture
def to_database(wires: Wires, transactional_db: None) -> str:
    """How to reach the database of the tests through a wire."""
    there = connection.settings_dict
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS storm_notes")
        cursor.execute("CREATE TABLE storm_notes (note text)")
    port = wires.add("wire", upstream_port=int(there["PORT"]))
    return (
        f"host={ports.LOOPBACK} port={port} dbname={there['NAME']} user={there['USER']} password={there['PASSWORD']} "
        "sslmode=disable gssencmode=disable"
    )


def notes() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT note FROM storm_notes")
        return [note for (note,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
class TestWireToPostgreSQL:
    @pytest.mark.parametrize(
        ("mode", "kept"),
        [(Mode.PASS, ["paid"]), (Mode.LOSE_RECEIPTS, ["paid"]), (Mode.LOSE_COMMITS, [])],
    )
    def test_breaks_beside_commit_alone(self, wires: Wires, to_database: str, mode: Mode, kept: list[str]) -> None:
        with psycopg.connect(to_database, autocommit=True) as session:
            wires.set_mode("wire", mode)
            session.execute("SELECT %s", ["COMMIT"])
            session.execute("BEGIN")
            session.execute("INSERT INTO storm_notes VALUES (%s)", ["paid"])

            if mode is Mode.PASS:
                session.execute("COMMIT")
            else:
                with pytest.raises(psycopg.OperationalError):
                    session.execute("COMMIT")

        wait_until(lambda: notes() == kept)
        assert wire_of(wires).lost[mode] == (0 if mode is Mode.PASS else 1)

    def test_sees_the_commit_of_a_transaction_block(self, wires: Wires, to_database: str) -> None:
        session = psycopg.connect(to_database)
        wires.set_mode("wire", Mode.LOSE_RECEIPTS)
        session.execute("INSERT INTO storm_notes VALUES ('paid')")

        with pytest.raises(psycopg.OperationalError):
            session.commit()

        assert notes() == ["paid"]
