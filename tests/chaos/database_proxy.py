"""A wire to PostgreSQL that breaks at the worst moment: beside COMMIT.

It passes on the messages of PostgreSQL's protocol one by one (chapter "Frontend/Backend Protocol" of its manual), which
takes a connection without encryption.
"""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from django.db import connection, connections

# A session in which nobody says a word for so long is over, so that no thread outlives its test.
_SILENCE_SECONDS = 30.0

_QUERY, _PARSE, _COMMAND_COMPLETE, _READY_FOR_QUERY = b"Q", b"P", b"C", b"Z"


class Cut(Enum):
    """When the connection breaks."""

    #: The COMMIT never arrives.
    BEFORE_COMMIT = "before_commit"
    #: The COMMIT is carried out, and nobody learns of it.
    AFTER_COMMIT = "after_commit"


class Messages:
    """Cuts a stream into whole messages: a byte that says the kind, the length in four bytes, and what it says."""

    def __init__(self, *, has_startup: bool) -> None:
        self._buffer = b""
        # The first message of a client has no kind.
        self._kind_bytes = 0 if has_startup else 1

    def feed(self, received: bytes) -> Iterator[bytes]:
        self._buffer += received
        while message := self._take():
            yield message

    def _take(self) -> bytes:
        head = self._kind_bytes + 4
        if len(self._buffer) < head:
            return b""
        end = self._kind_bytes + int.from_bytes(self._buffer[self._kind_bytes : head], "big")
        if len(self._buffer) < end:
            return b""
        message, self._buffer = self._buffer[:end], self._buffer[end:]
        self._kind_bytes = 1
        return message


def is_commit(message: bytes) -> bool:
    """Tell whether a client's message is the statement COMMIT, in the simple or the extended protocol."""
    kind, said = message[:1], message[5:].split(b"\0")
    # Parse names the prepared statement before the SQL.
    sql = said[0] if kind == _QUERY else said[1] if kind == _PARSE else b""
    return sql.strip(b" \n;").upper() == b"COMMIT"


class DatabaseProxy(socketserver.ThreadingTCPServer):
    """Listens on a port of its own. Does nothing but pass on, until it is armed, for one cut."""

    request_queue_size = 20

    def __init__(self, *, host: str, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.upstream = (host, port)
        self.cuts: list[Cut] = []
        self._armed: Cut | None = None
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def arm(self, cut: Cut) -> None:
        with self._lock:
            self._armed = cut

    def disarm(self) -> Cut | None:
        """Return what it was armed for, to one caller."""
        with self._lock:
            cut, self._armed = self._armed, None
            return cut


class _Session(socketserver.BaseRequestHandler):
    """One connection. When handle() returns, both of its ends are closed."""

    server: DatabaseProxy
    _cut: Cut | None = None

    def handle(self) -> None:
        with socket.create_connection(self.server.upstream, timeout=_SILENCE_SECONDS) as database:
            self._asked, self._answered = Messages(has_startup=True), Messages(has_startup=False)
            self._database = database
            for end in (self.request, database):
                # Without it each small message waits 40 ms for the receipt of the one before.
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._pass_on():
                pass
        if self._cut is not None:
            self.server.cuts.append(self._cut)

    def _pass_on(self) -> bool:
        """Pass on what there is, and tell whether the session goes on."""
        readable, _, _ = select.select([self.request, self._database], [], [], _SILENCE_SECONDS)
        for end in readable:
            received = end.recv(65536)
            passed_on = self._to_database if end is self.request else self._to_client
            if not received or not all(passed_on(message) for message in self._split(end, received)):
                return False
        return bool(readable)

    def _split(self, end: socket.socket, received: bytes) -> Iterator[bytes]:
        return (self._asked if end is self.request else self._answered).feed(received)

    def _to_database(self, message: bytes) -> bool:
        if is_commit(message):
            self._cut = self.server.disarm()
        if self._cut is Cut.BEFORE_COMMIT:
            return False
        self._database.sendall(message)
        return True

    def _to_client(self, message: bytes) -> bool:
        if self._cut is Cut.AFTER_COMMIT:
            if message.startswith(_COMMAND_COMPLETE):
                # A transaction that had failed would be rolled back instead, and the test would prove nothing.
                assert message[5:] == b"COMMIT\0", message
            return not message.startswith(_READY_FOR_QUERY)
        self.request.sendall(message)
        return True


@contextmanager
def running(*, host: str, port: int) -> Iterator[DatabaseProxy]:
    """Run a proxy to the PostgreSQL there. Close its connections before the end, which waits for its threads."""
    with DatabaseProxy(host=host, port=port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join(_SILENCE_SECONDS)


class Crash:
    """An execute_wrapper that has the server end the connection right after a statement that begins like this."""

    def __init__(self, after: str) -> None:
        self.after = after
        self.has_happened = False

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
        result = execute(sql, params, many, context)
        if sql.lstrip().startswith(self.after):
            self.has_happened = end_backend()
        return result


def end_backend() -> bool:
    """Have the server end Django's connection, wait until it says so, and tell whether it did."""
    ours: Any = connection.connection
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            # It would wait by itself, in steps of 100 ms.
            cursor.execute("SELECT pg_terminate_backend(%s)", [ours.info.backend_pid])
    finally:
        other.close()
    readable, _, _ = select.select([ours.fileno()], [], [], _SILENCE_SECONDS)
    return bool(readable)
