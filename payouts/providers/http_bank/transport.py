"""Requests to a bank with httpx. Each is sent at most once, and we know if it may have arrived."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final

import httpcore
import httpx

from payouts.providers import base
from payouts.providers.http_bank import sockets
from payouts.providers.http_bank.responses import Answer
from payouts.providers.http_bank.sockets import Call

#: Kept for later calls. A worker process makes one call at a time, a threaded one a few.
IDLE_CONNECTIONS_MAX: Final = 8
#: Servers commonly close idle connections after a minute, some after 15 s. A request that meets the closing is an
#: OutcomeUnknown, so our limit is well below.
IDLE_SECONDS_MAX: Final = 10.0

#: Errors before sending, with code and words. The first match counts.
_NOT_SENT: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (ssl.SSLCertVerificationError, "certificate_refused", "The bank's certificate does not hold"),
    (ssl.SSLError, "tls_failed", "There is no agreement with the bank on an encryption"),
    (socket.gaierror, "name_not_found", "The bank's name has no address"),
    (TimeoutError, "connect_timeout", "The bank could not be reached in time"),
    (ConnectionRefusedError, "connection_refused", "Nobody listens at the bank's address"),
    (OSError, "connection_failed", "The bank cannot be reached"),
    (Exception, "unexpected_error", "The request could not be sent"),
)


def timeout_within(total_seconds: float) -> httpx.Timeout:
    """Return the limits of the steps of a call; the worker's deadlines depend on the total."""
    return httpx.Timeout(total_seconds * 2 / 3, connect=min(3.0, total_seconds / 10))


class Transport:
    """Connections to one bank. Threads may share it, and it survives a fork without sharing connections."""

    def __init__(self, total_seconds: float, tls: ssl.SSLContext | None) -> None:
        self._total_seconds = total_seconds
        self._timeout = timeout_within(total_seconds)
        self._tls = tls
        self._clients: dict[int, httpx.Client] = {}

    def exchange(self, request: httpx.Request) -> Answer:
        """Send the request and return the answer. Follows no redirect, and never sends twice.

        Raises Unavailable if nothing can have reached the bank, and OutcomeUnknown if something may have.
        """
        began = time.monotonic()
        call = Call(began + (self._timeout.connect or 0.0), began + self._total_seconds)
        token = sockets.CURRENT.set(call)
        try:
            return _exchange(self._client(), request, call)
        except Exception as error:  # noqa: BLE001 - whatever it is, it happened before or after something was sent
            raise _by_where(error, call) from None
        finally:
            sockets.CURRENT.reset(token)

    def close(self) -> None:
        """Close the connections, if no call is under way. The next call opens new ones."""
        if client := self._clients.pop(os.getpid(), None):
            client.close()

    def _client(self) -> httpx.Client:
        """Return the client of this process: after a fork, the parent's connections and lock are unusable."""
        process_id = os.getpid()
        if process_id not in self._clients:
            transport = BankTransport(self._tls)
            client = httpx.Client(transport=transport, timeout=self._timeout, follow_redirects=False, trust_env=False)
            # Atomic. If another thread was first, this client has no connections yet.
            self._clients.setdefault(process_id, client)
            # Drop it without closing, which would wait for the lock.
            for other in self._clients.keys() - {process_id}:
                self._clients.pop(other, None)
        return self._clients[process_id]


class BankTransport(httpx.BaseTransport):
    """The pool of httpcore over our connections, which the HTTPTransport of httpx cannot take publicly."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._pool = httpcore.ConnectionPool(
            tls,
            # No limit, so that no call waits for another; there are as many as callers.
            max_connections=None,
            max_keepalive_connections=IDLE_CONNECTIONS_MAX,
            keepalive_expiry=IDLE_SECONDS_MAX,
            http1=True,
            http2=False,
            retries=0,
            network_backend=sockets.Backend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answered = self._pool.handle_request(
            httpcore.Request(
                request.method,
                str(request.url),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        # The contract gives the headers no meaning. Without them there are no cookies, redirects or compression;
        # without the reason phrase httpx logs no words of the bank.
        return httpx.Response(answered.status, stream=Body(answered))

    def close(self) -> None:
        self._pool.close()


class Body(httpx.SyncByteStream):
    """The body of an answer, which decides if its connection is used again."""

    def __init__(self, answered: httpcore.Response) -> None:
        self._answered = answered
        self._call = sockets.CURRENT.get()
        self._came = bytearray()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._answered.iter_stream():
            # One read may bring thousands of tiny pieces, which take time.
            self._call.limit()
            self._came += chunk
            yield chunk

    def close(self) -> None:
        """Give the connection back, as clean if the answer is complete and no bytes follow it.

        httpcore would take extra bytes for the next answer. A late second 422 would then be the refusal of a payment
        that the bank executes. Only an answer with a Content-Length shows plainly where it ends.
        """
        _, _, rest = self._call.received.partition(b"\r\n\r\n")
        self._answered.extensions["network_stream"].is_clean = rest == self._came
        self._answered.close()


def _exchange(client: httpx.Client, request: httpx.Request, call: Call) -> Answer:
    with contextlib.closing(client.send(request, stream=True)) as response:
        try:
            return Answer(response.status_code, response.read())
        except Exception as error:  # noqa: BLE001 - the status is there, and may say enough
            return Answer(response.status_code, body_failure=_by_where(error, call))


def _by_where(error: Exception, call: Call) -> base.ProviderError:
    """Return the meaning of the error, which depends mainly on whether bytes were sent."""
    if isinstance(error, base.ProviderError):
        return error
    return _after_sending(error, call) if call.has_sent else _before_sending(error)


def _before_sending(error: Exception) -> base.Unavailable:
    code, sentence = next(meaning for kind, *meaning in _NOT_SENT if isinstance(error, kind))
    reason = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or type(error).__name__
    return base.Unavailable(code, f"{sentence}: {reason}.")


def _after_sending(error: Exception, call: Call) -> base.OutcomeUnknown:
    match error:
        case httpcore.WriteTimeout():
            return base.OutcomeUnknown("write_timeout", "The bank did not take the request in time.")
        case httpcore.ReadTimeout() if call.seconds_left() > 0:
            return base.OutcomeUnknown("read_timeout", "The bank did not answer in time.")
        case httpcore.ReadTimeout() | TimeoutError():
            return base.OutcomeUnknown("total_timeout", "The bank's answer was not complete in time.")
        case httpcore.RemoteProtocolError() if not call.has_ended:
            return base.OutcomeUnknown("unreadable_answer", "The bank's answer is not HTTP.")
        case httpcore.ReadError() | httpcore.RemoteProtocolError():
            return base.OutcomeUnknown(
                "connection_lost", "The connection to the bank broke before its answer was there."
            )
        case _:
            return base.OutcomeUnknown("unexpected_error", type(error).__name__)
