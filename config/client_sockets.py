"""The connection of a client: what has arrived of a request, and how long the web process waits to send to the client.

A request arrives while no thread waits for it (config/gunicorn_worker.py). A thread then reads what is here already.

The timeout of sending is for a wait without any progress. Python's own `sendall` limits the time for all the data
instead, so the speed that it demands of a client would depend on the size of the data.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

from django.conf import settings
from gunicorn.http.errors import LimitRequestHeaders

from config.request_framing import Framing

#: Time limits of a whole head, from the connection on or from its first byte on a connection that was kept, and of a
#: whole body. A client on a bad line needs a tenth of that.
HEAD_SECONDS: Final = 5.0
BODY_SECONDS: Final = 10.0
#: Size of one write to the kernel, and limit of the unsent data in the kernel's buffer. With megabytes in the buffer,
#: the kernel would report no progress for minutes, although the client reads all the time.
PIECE_BYTES: Final = 64 * 1024

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientSocket(socket.socket):
    """Its request is received first, without waiting. If blocking, it waits for SEND_TIMEOUT_SECONDS to send."""

    @classmethod
    def of(cls, accepted: socket.socket) -> Self:
        """Return the accepted connection as a ClientSocket."""
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        connection = cls(family, kind, protocol, fileno=accepted.detach())
        if family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # The client may be gone already. The first read finds that out.
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, PIECE_BYTES)
        connection.expect_request(b"")
        return connection

    def expect_request(self, received: bytes) -> None:
        """Begin to receive the next request, of which this much was received with the previous one."""
        self.framing = Framing()
        self.has_ended = False
        self.has_continued = False
        self.receive_by = time.monotonic() + HEAD_SECONDS
        self._received = bytearray(received)

    @property
    def has_received(self) -> bool:
        """Whether there is a part of a request."""
        return bool(self._received)

    @property
    def is_ready(self) -> bool:
        """Whether a thread can read the request, or its refusal, without waiting for the client."""
        return self.has_ended or self.framing.is_whole

    def receive(self) -> bool:
        """Receive what has arrived, without waiting, and return whether the request is ready. Raises OSError."""
        super().settimeout(0.0)
        had_head = self.framing.has_head
        self._look()
        while not self.is_ready:
            try:
                data = super().recv(PIECE_BYTES)
            except (BlockingIOError, InterruptedError):
                break
            self.has_ended = not data
            self._received += data
            self._look()
        if self.framing.has_head and not had_head:
            self._begin_body()
        return self.is_ready

    def take_received(self) -> bytes:
        """Return what was received and not read, and forget it."""
        data, self._received = bytes(self._received), bytearray()
        return data

    def drop_received(self) -> bool:
        """Drop what has arrived, without waiting, and return whether the client has ended the connection."""
        super().settimeout(0.0)
        try:
            return not super().recv(PIECE_BYTES)
        except (BlockingIOError, InterruptedError):
            return False

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - the method of every socket.
        self.settimeout(BODY_SECONDS if flag else 0.0)

    def recv(self, *args: Any) -> bytes:
        """Return what was received.

        A thread waits for more only if gunicorn sees another end of the request; then the request's time limit holds.
        """
        size = args[0]
        if self._received:
            data = bytes(self._received[:size])
            del self._received[:size]
            return data
        if self.framing.is_cut and not self.framing.has_head:
            raise LimitRequestHeaders("The head of the request is too large.")
        left = self.receive_by - time.monotonic()
        if self.framing.is_cut or left <= 0:
            raise _gone("The client sent too much, or too slowly.")
        self.settimeout(left)
        try:
            return super().recv(size)
        except TimeoutError as error:
            raise _gone("The client sent nothing for too long.") from error

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        left = memoryview(data)
        with self._sending():
            while left:
                left = left[self.send(left[:PIECE_BYTES], flags) :]

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        with self._sending():
            return super().sendfile(file, offset, count)

    def _look(self) -> None:
        if self._received and not self.framing.is_whole:
            self.framing.look(self._received)

    def _begin_body(self) -> None:
        self.receive_by = time.monotonic() + BODY_SECONDS
        if self.framing.expects_continue and not self.framing.is_whole:
            # The buffer of the kernel is empty but for answers that the client has not taken.
            with suppress(OSError):
                self.send(_CONTINUE)
                self.has_continued = True

    @contextmanager
    def _sending(self) -> Iterator[None]:
        waits_otherwise = self.gettimeout()
        if waits_otherwise == 0.0:
            yield
            return
        self.settimeout(settings.SEND_TIMEOUT_SECONDS)
        try:
            yield
        except TimeoutError as error:
            raise _gone("The client took nothing for too long.") from error
        finally:
            self.settimeout(waits_otherwise)


def _gone(sentence: str) -> TimeoutError:
    """Return the error for a client that is no longer waited for.

    The error number says that the connection was reset: gunicorn closes such a connection without a traceback.
    """
    return TimeoutError(errno.ECONNRESET, sentence)
