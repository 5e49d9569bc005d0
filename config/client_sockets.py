"""The connection of a client: how long the web process waits to receive from the client, and to send to it.

Both timeouts are for waits without any progress. Python's own `sendall` limits the time for all the data instead, so
the speed that it demands of a client would depend on the size of the data.
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
#: Size of one write to the kernel, and limit of the unsent data in the kernel's buffer. With megabytes in the buffer,
#: the kernel would report no progress for minutes, although the client reads all the time.
PIECE_BYTES: Final = 64 * 1024


class ClientSocket(socket.socket):
    """If blocking, it waits for RECEIVE_TIMEOUT_SECONDS to receive, and for SEND_TIMEOUT_SECONDS to send."""

    @classmethod
    def of(cls, accepted: socket.socket) -> Self:
        """Return the accepted connection as a ClientSocket."""
        family, kind, protocol = accepted.family, accepted.type, accepted.proto
        connection = cls(family, kind, protocol, fileno=accepted.detach())
        if family != socket.AF_UNIX and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # The client may be gone already. The first read finds that out.
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
    """Return the error for a client that is no longer waited for.

    The error number says that the connection was reset: gunicorn closes such a connection without a traceback.
    """
    return TimeoutError(errno.ECONNRESET, sentence)
