"""A server that says in AMQP 0-9-1 what RabbitMQ says to a publisher, up to where the test has it fall silent."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from amqp.serialization import dumps

# Class and method, as the specification numbers them.
Method = tuple[int, int]

CONNECTION_START: Final = (10, 10)
CONNECTION_START_OK: Final = (10, 11)
CONNECTION_OPEN: Final = (10, 40)
CONNECTION_CLOSE: Final = (10, 50)
CHANNEL_OPEN: Final = (20, 10)
CHANNEL_CLOSE: Final = (20, 40)
EXCHANGE_DECLARE: Final = (40, 10)
QUEUE_DECLARE: Final = (50, 10)
QUEUE_BIND: Final = (50, 20)
BASIC_PUBLISH: Final = (60, 40)
CONFIRM_SELECT: Final = (85, 10)

#: What is said to each method: a method, the types of its arguments, and the arguments.
_ANSWERS: Final[dict[Method, tuple[Method, str, tuple[object, ...]]]] = {
    CONNECTION_START_OK: ((10, 30), "BlB", (0, 131_072, 0)),
    CONNECTION_OPEN: ((10, 41), "s", ("",)),
    CONNECTION_CLOSE: ((10, 51), "", ()),
    CHANNEL_OPEN: ((20, 11), "S", ("",)),
    CHANNEL_CLOSE: ((20, 41), "", ()),
    EXCHANGE_DECLARE: ((40, 11), "", ()),
    QUEUE_BIND: ((50, 21), "", ()),
    QUEUE_DECLARE: ((50, 11), "sll", ("payouts", 0, 0)),
    CONFIRM_SELECT: ((85, 11), "", ()),
}
_START: Final[tuple[Method, str, tuple[object, ...]]] = (CONNECTION_START, "ooFSS", (0, 9, {}, "PLAIN", "en_US"))
_ACK: Final = (60, 80)

_METHOD, _BODY, _FRAME_END = 1, 3, b"\xce"
_HEADER: Final = struct.Struct(">BHL")


class ScriptedRabbitMQ:
    """`silent_at` is the method that is never answered, nor anything after it; None: it is well."""

    def __init__(self, silent_at: Method | None) -> None:
        self.silent_at = silent_at
        #: The method in each frame that has one, of all connections.
        self.heard: list[Method] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._listener.getsockname()[1]}//"

    def drop_connections(self) -> None:
        """End them as a restart does; new ones are welcome."""
        while self._connections:
            connection = self._connections.pop()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        # A thread that waits in accept() is not woken up by close().
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        self._thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), closing(connection):
            _read(connection, 8)
            if self.silent_at != CONNECTION_START:
                _send(connection, 0, *_START)
            for channel, method in self._published(connection):
                if method in _ANSWERS:
                    _send(connection, channel, *_ANSWERS[method])
            # Silent, and not gone: the other side ends it.
            while connection.recv(4096):
                pass

    def _published(self, connection: socket.socket) -> Iterator[tuple[int, Method]]:
        """Yield what is to be answered. A message is, with its body's end, and its tag counts up for each channel."""
        tag = 0
        while True:
            kind, channel, size = _HEADER.unpack(_read(connection, _HEADER.size))
            payload = _read(connection, size + 1)
            if kind == _METHOD:
                method = struct.unpack_from(">HH", payload)
                self.heard.append(method)
                if method == self.silent_at:
                    return
                yield channel, method
            elif kind == _BODY:
                tag += 1
                _send(connection, channel, _ACK, "Lb", (tag, False))


def _read(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        some = connection.recv(size - len(received))
        if not some:
            raise ConnectionResetError
        received += some
    return received


def _send(connection: socket.socket, channel: int, method: Method, types: str, arguments: tuple[object, ...]) -> None:
    payload = struct.pack(">HH", *method) + dumps(types, arguments)
    connection.sendall(_HEADER.pack(_METHOD, channel, len(payload)) + payload + _FRAME_END)


@contextmanager
def scripted_rabbitmq(silent_at: Method | None = None) -> Iterator[ScriptedRabbitMQ]:
    with closing(ScriptedRabbitMQ(silent_at)) as server:
        yield server
