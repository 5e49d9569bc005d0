"""Connections to a bank with a time limit for the whole call, which know what was sent and received.

httpx limits each read and each write alone, so a peer that sends a byte now and then can block a call without end.
Here each wait is also limited by the time that is left for the call.
"""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import httpcore

from payouts.providers import base

#: Limit of one answer: status line, headers and body. It is below httpcore's limit for headers (100 kB), so that an
#: answer that is too large is not taken for one that is no HTTP.
ANSWER_BYTES_MAX: Final = 64 * 1024


@dataclass
class Call:
    """One request and its answer so far. The times are monotonic."""

    #: Deadline of the first sent byte: name, connection and TLS handshake together.
    connects_until: float
    ends_at: float
    #: Whether bytes may have reached the bank.
    has_sent: bool = False
    #: Whether the bank closed its side.
    has_ended: bool = False
    received: bytearray = field(default_factory=bytearray)

    def seconds_left(self) -> float:
        return (self.ends_at if self.has_sent else self.connects_until) - time.monotonic()

    def limit(self, timeout: float | None = None) -> float:
        """Return the limit of one wait. Raises TimeoutError if no time is left."""
        seconds = self.seconds_left()
        if seconds <= 0:
            raise TimeoutError
        return min(seconds, math.inf if timeout is None else timeout)


#: The call of this thread: httpcore works in the calling thread, and passes no data of ours on.
CURRENT: ContextVar[Call] = ContextVar("bank_call")


class Stream(httpcore.NetworkStream):
    """A connection, for one call at a time."""

    def __init__(self, connected: httpcore.NetworkStream) -> None:
        self._connected = connected
        #: Whether the last bytes were exactly one whole answer.
        self.is_clean = False

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        # The time left for connecting. If it is too short, the handshake fails and closes the connection.
        seconds = max(CURRENT.get().seconds_left(), 0.001)
        with _with_cause():
            return Stream(self._connected.start_tls(ssl_context, server_hostname, seconds))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        call, connected = CURRENT.get(), self._connected.get_extra_info("socket")
        self.is_clean = False
        # Not with the write of httpcore, which restarts the limit for each piece that the bank takes.
        while buffer:
            connected.settimeout(call.limit(timeout))
            call.has_sent = True
            try:
                buffer = buffer[connected.send(buffer) :]
            except TimeoutError as error:
                raise httpcore.WriteTimeout from error
            except OSError as error:
                # httpcore then reads: a bank may refuse a request before it has read all of it.
                raise httpcore.WriteError from error

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        call = CURRENT.get()
        room = ANSWER_BYTES_MAX - len(call.received)
        if room <= 0:
            raise base.OutcomeUnknown("answer_too_large", "The bank's answer is longer than any that it should give.")
        data = self._connected.read(min(max_bytes, room), call.limit(timeout))
        call.received += data
        call.has_ended = not data
        return data

    def close(self) -> None:
        self._connected.close()

    def get_extra_info(self, info: str) -> Any:
        """Answer httpcore. It drops readable idle connections, so an unclean one counts as readable."""
        if info == "is_readable" and not self.is_clean:
            return True
        return self._connected.get_extra_info(info)


class Backend(httpcore.SyncBackend):
    """Opens the connections. Raises OSError if that fails."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Try the addresses in turn. Each gets an equal share of the time that is left."""
        call, failure = CURRENT.get(), OSError()
        addresses = _look_up(host, port, call.limit(timeout))
        for index, address in enumerate(addresses):
            share = call.limit(timeout) / (len(addresses) - index)
            try:
                with _with_cause():
                    return Stream(super().connect_tcp(*address, share, local_address, socket_options))
            except OSError as error:
                failure = error
        raise failure


def _look_up(host: str, port: int, seconds: float) -> list[tuple[str, int]]:
    """Look the name up in a thread that may be abandoned, because the lookup has no time limit."""
    found: Future[list[Any]] = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - it is raised where the call is
            found.set_exception(error)

    threading.Thread(target=look_up, name="bank-name", daemon=True).start()
    return [place[4][:2] for place in found.result(seconds)]


@contextlib.contextmanager
def _with_cause() -> Iterator[None]:
    """Raise the error of the system, which httpcore hides in its own and its pool then drops."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise (error.__cause__ or error) from None
