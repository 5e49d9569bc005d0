"""gunicorn as deploy configures it, on the test database, and raw bytes to it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from accounts import services as accounts_services
from accounts.models import Merchant
from devstack.processes import ports
from tests.chaos import crashing_servers
from tests.chaos.crashing_servers import Server

#: What a client may take nothing for. By default it is a minute. A client at 20 kB/s takes 64 kB in 3 s.
SEND_TIMEOUT_SECONDS = 5


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Server]:
    started = Server(
        "served",
        tmp_path_factory.mktemp("server"),
        environment={**crashing_servers.environment(), "PAYOUTS_SEND_TIMEOUT_SECONDS": str(SEND_TIMEOUT_SECONDS)},
    )
    try:
        started.start()
        started.wait()
        yield started
    finally:
        started.destroy()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Raw:
    """A connection on which bytes are sent as they are."""

    def __init__(self, server: Server, *, receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(30)
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.connect((ports.LOOPBACK, int(server.base_url.rpartition(":")[2])))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of an answer and no byte more."""
        lines: list[str] = []
        while (line := self._line()) != b"\r\n":
            assert line.endswith(b"\r\n"), lines
            lines.append(line.decode().strip())
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        return int(lines[0].split(" ")[1]), headers

    def answer(self) -> Answer:
        """Read one answer, and nothing that comes behind it."""
        status, headers = self.head()
        if "content-length" in headers:
            return Answer(status, headers, self.read(int(headers["content-length"])))
        return Answer(status, headers, b"".join(self.chunks()))

    def chunks(self) -> Iterator[bytes]:
        """Read a body that comes in chunks. A body that breaks off is no body."""
        while size := int(self._line(), 16):
            yield self.read(size)
            assert self._line() == b"\r\n"
        assert self._line() == b"\r\n"

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self.socket.recv(size - len(data))):
            data += more
        return data

    def rest(self) -> bytes:
        """Read until the server closes the connection."""
        data = b""
        while more := self.socket.recv(1 << 20):
            data += more
        return data

    def close(self) -> None:
        self.socket.close()

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n") and (byte := self.socket.recv(1)):
            line += byte
        return line


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[..., Raw]]:
    made: list[Raw] = []

    def connect(**options: Any) -> Raw:
        made.append(Raw(server, **options))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def ask(server: Server) -> Callable[[bytes], Answer]:
    """Send these bytes on a connection of their own and return the answer."""

    def ask(data: bytes) -> Answer:
        with closing(Raw(server)) as raw:
            raw.send(data)
            return raw.answer()

    return ask


@pytest.fixture
def secret(acme: Merchant) -> str:
    return accounts_services.issue_api_key(acme, name="test")[1]
