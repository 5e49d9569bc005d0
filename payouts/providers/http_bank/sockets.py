"""Connections to a bank on which nothing takes longer than it may, and which know what has gone over them.

httpx gives each read and each write a time-out of its own, so that a peer that sends a byte now and then can hold a
call up for ever. Here each wait is also bounded by what is left of the whole call.
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

#: Everything that comes over the line for one call: status line, headers and body. Less than what httpcore would
#: collect of headers that do not end (100 kB), so that these are told apart from what is no HTTP.
ANSWER_BYTES_MAX: Final = 64 * 1024


@dataclass
class Call:
    """One request and its answer, as far as they have come. The times are those of a clock that nobody sets."""

    #: Until then something has to be sent: name, connection and TLS handshake together.
    connects_until: float
    ends_at: float
    #: Something may have reached the bank.
    has_sent: bool = False
    #: The bank has closed its side.
    has_ended: bool = False
    received: bytearray = field(default_factory=bytearray)

    def seconds_left(self) -> float:
        return (self.ends_at if self.has_sent else self.connects_until) - time.monotonic()

    def limit(self, timeout: float | None = None) -> float:
        """Return for how long one wait may last. Raises TimeoutError where no time is left."""
        seconds = self.seconds_left()
        if seconds <= 0:
            raise TimeoutError
        return min(seconds, math.inf if timeout is None else timeout)


#: The call that this thread makes: httpcore does its work in the thread that calls it, and hands nothing of ours on.
CURRENT: ContextVar[Call] = ContextVar("bank_call")


class Stream(httpcore.NetworkStream):
    """A connection, for one call after the other and for one at a time."""

    def __init__(self, connected: httpcore.NetworkStream) -> None:
        self._connected = connected
        #: What came last was one whole answer and nothing else.
        self.is_clean = False

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        # What is left for connecting. Too little is for the handshake to find out, which closes the connection then.
        seconds = max(CURRENT.get().seconds_left(), 0.001)
        with _with_cause():
            return Stream(self._connected.start_tls(ssl_context, server_hostname, seconds))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        call, connected = CURRENT.get(), self._connected.get_extra_info("socket")
        self.is_clean = False
        # Not with the write of httpcore, which gives the bank the whole time again for each piece that it takes.
        while buffer:
            connected.settimeout(call.limit(timeout))
            call.has_sent = True
            try:
                buffer = buffer[connected.send(buffer) :]
            except TimeoutError as error:
                raise httpcore.WriteTimeout from error
            except OSError as error:
                # httpcore goes on to read: a bank may refuse a request before it has read the whole of it.
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
        """Tell what httpcore asks for. It drops an idle connection that is readable, so one that is not clean is."""
        if info == "is_readable" and not self.is_clean:
            return True
        return self._connected.get_extra_info(info)


class Backend(httpcore.SyncBackend):
    """What makes the connections. Raises OSError where it cannot."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Try the addresses in turn; one that does not answer leaves its share of the time to each that follows."""
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
    """Return where the name leads. It cannot be told how long to take, so a thread does it that may be left alone."""
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
    """Raise what the system says: httpcore hides it in an error of its own, whose cause its pool then takes off."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
        raise (error.__cause__ or error) from None
