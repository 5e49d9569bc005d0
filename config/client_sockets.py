"""The connection of a client: how long the web process waits for what it sends, and for it to take what we send.

Both are waits without any progress. Python's own `sendall` bounds the whole of what it sends instead, so that a client
would be slow or fast depending on how much is sent at once.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

from django.conf import settings

#: Silence in the middle of a request for which a thread waits. A buffering proxy gives up as early (deploy/nginx).
RECEIVE_TIMEOUT_SECONDS: Final = 10.0
#: What the kernel is given at once, and what it may hold of an answer beyond what is on its way. With megabytes in its
#: buffer it would tell of no progress for minutes, although the client reads all the time.
PIECE_BYTES: Final = 64 * 1024


class ClientSocket(socket.socket):
    """A blocking one waits for RECEIVE_TIMEOUT_SECONDS when it receives, SEND_TIMEOUT_SECONDS when it sends."""

    @classmethod
    def of(cls, accepted: socket.socket) -> Self:
        """Return the connection that was accepted, as one of ours."""
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        connection = cls(family, kind, protocol, fileno=accepted.detach())
        if family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # The client may be gone already, which the first read finds out.
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, PIECE_BYTES)
        return connection

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - the method of every socket.
        self.settimeout(RECEIVE_TIMEOUT_SECONDS if flag else 0.0)

    def recv(self, *args: Any) -> bytes:
        try:
            return super().recv(*args)
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
    """Return the error of a client for which we wait no longer.

    The number is that of a connection that was reset: gunicorn lets go of it, and writes no traceback of ours about it.
    """
    return TimeoutError(errno.ECONNRESET, sentence)
