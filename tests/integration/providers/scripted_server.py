"""A server that does with each connection what a test says, byte by byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    #: By lower-case name.
    headers: dict[str, str]
    body: bytes


class Connection:
    """One connection, as the server has it."""

    def __init__(self, server: ScriptedServer, accepted: socket.socket) -> None:
        self._server = server
        self._socket = accepted
        self._buffer = b""

    def read_request(self) -> Request:
        """Read one request and write it down; ConnectionError where there is none."""
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("ascii").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            self._receive()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        method, target, version = first.split(" ")
        assert version == "HTTP/1.1"
        self._server.requests.append(Request(method, target, headers, body))
        return self._server.requests[-1]

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError
        self._buffer += data

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def dribble(self, data: bytes, *, pause_seconds: float = 0.02) -> None:
        """Send one byte after the other, with a pause in between."""
        for index in range(len(data)):
            self._socket.sendall(data[index : index + 1])
            time.sleep(pause_seconds)

    def secure(self, context: ssl.SSLContext) -> None:
        self._socket = context.wrap_socket(self._socket, server_side=True)

    def reset(self) -> None:
        """Break it off, so that the other side gets an error and no end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def wait_until_closed(self) -> None:
        """Wait until the other side has gone."""
        with contextlib.suppress(OSError):
            while self._socket.recv(65536):
                pass

    def close(self) -> None:
        self._socket.close()


Script = Callable[[Connection], None]


@dataclass
class ScriptedServer:
    """Plays one script for each connection, in turn, and the last for ever."""

    scripts: list[Script]
    requests: list[Request] = field(default_factory=list)
    connections_count: int = 0

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        return int(self._listening.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._listening.settimeout(0.02)
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive()
        self._listening.close()

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(TimeoutError):
                accepted, _ = self._listening.accept()
                script = self.scripts[min(self.connections_count, len(self.scripts) - 1)]
                self.connections_count += 1
                self._start(lambda accepted=accepted, script=script: self._play(accepted, script))  # type: ignore[misc]

    def _play(self, accepted: socket.socket, script: Script) -> None:
        accepted.settimeout(WAIT_SECONDS)
        connection = Connection(self, accepted)
        try:
            # The other side may go at any time: that is what most tests are about.
            with contextlib.suppress(OSError):
                script(connection)
        finally:
            connection.close()


@contextlib.contextmanager
def serving(*scripts: Script) -> Iterator[ScriptedServer]:
    with ScriptedServer(list(scripts)) as server:
        yield server


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Return a whole answer."""
    lines = [f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answering(*answers: bytes) -> Script:
    """Give these answers, one for each request of the connection, and then close it."""

    def script(connection: Connection) -> None:
        for answer in answers:
            connection.read_request()
            connection.send(answer)

    return script
