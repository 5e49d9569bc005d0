"""gunicorn's threaded worker, in which slow clients cost no thread, and with refusals as problem documents.

# Note [No thread waits for a client's request]
gunicorn gives a connection to a thread, which waits for each byte of the request. As many clients as there are threads
stop the process then, with a byte a second. So the main loop receives the request, without waiting, and a thread gets
what has arrived whole. A request that is not whole in time is refused with 408. In the same way the main loop closes
connections: gunicorn would wait there, two seconds for each client that does not close its own side.

No import of Django at the top: gunicorn imports this module before the settings are read.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import selectors
import socket
import sys
import time
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from gunicorn.http.errors import InvalidHeader
from gunicorn.workers.gthread import ThreadWorker

from config import request_ids, server_problems
from config.client_sockets import ClientSocket

logger = logging.getLogger(__name__)

#: Time after which Python takes the interpreter from one thread for another that waits. A payout waits about thirty
#: times, whenever PostgreSQL has answered; with Python's 5 ms two reports beside it would cost it a third of a second.
SWITCH_SECONDS: Final = 0.0005
#: Pause between two looks for requests and closed connections whose time is over.
LOOK_SECONDS: Final = 0.25
#: For an answer to arrive, the client has to have read it before the connection is gone (RFC 9112, section 9.6).
LINGER_SECONDS: Final = 2.0


class Worker(ThreadWorker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Connections whose request is arriving, and those that we have closed and the client has not, each with the end
        # of its time.
        self._arriving: set[Any] = set()
        self._lingering: dict[Any, float] = {}
        self._look_at = 0.0

    def init_process(self) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        super().init_process()

    def load_wsgi(self) -> None:
        """Load the application, and take it out of Python's garbage collections.

        A report makes objects enough for full collections, which would walk through all of the application each time
        and let no other thread run meanwhile.
        """
        super().load_wsgi()
        gc.collect()
        gc.freeze()

    def accept(self, listener: socket.socket) -> None:
        super().accept(_Listener(listener))

    def enqueue_req(self, conn: Any) -> None:
        """Receive the request. See Note [No thread waits for a client's request]."""
        buffered = b"" if conn.parser is None else conn.parser.unreader.take_buffered()
        conn.sock.expect_request(buffered + conn.sock.take_received())
        # gunicorn's thread need not wait for the first byte.
        conn.data_ready = True
        self._receive(conn)

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self._close_gently(conn)
        elif conn.sock.has_received:
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Refuse the requests, and close the connections, whose time is over. gunicorn calls this in its main loop."""
        super().murder_pending()
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        for conn in [conn for conn in self._arriving if conn.sock.receive_by <= now]:
            self._refuse_slow(conn)
        for conn in [conn for conn, ends_at in self._lingering.items() if ends_at <= now]:
            self._close(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        _require_host(req)
        if conn.sock.has_continued:
            # gunicorn would say it a second time.
            req._expected_100_continue = False  # noqa: SLF001 - nothing else stops gunicorn.
        return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        """Let gunicorn log the error and choose the status, then answer with a problem document."""
        chosen = _Unsent()
        super().handle_error(req, chosen, addr, exc)
        status = server_problems.status_of(exc, chosen=chosen.status)
        request_id = request_ids.choose(_header(req, "X-REQUEST-ID"))
        logger.info(
            "request.refused",
            extra={"request_id": request_id, "status": status, "error": type(exc).__name__},
        )
        has_body = req is None or req.method != "HEAD"
        answer = server_problems.answer(exc, status=status, request_id=request_id, with_body=has_body)
        # The client may have disconnected.
        with contextlib.suppress(OSError):
            client.sendall(answer)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        # The rest of a body that is too large is not waited for.
        return not conn.sock.framing.is_cut and bool(super()._keepalive_after(conn, keepalive))

    def _receive(self, conn: Any, _: Any = None) -> None:
        """Receive what has arrived. If the request is ready, give it to a thread."""
        try:
            is_ready = conn.sock.receive()
        except OSError:
            self._close(conn)
            return
        if not is_ready:
            self._wait_for_more(conn)
            return
        self._stop_waiting(conn)
        if conn.sock.has_received:
            super().enqueue_req(conn)
        else:
            self._close(conn)

    def _wait_for_more(self, conn: Any) -> None:
        if conn not in self._arriving:
            self._arriving.add(conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, conn))

    def _stop_waiting(self, conn: Any) -> None:
        if conn in self._arriving or conn in self._lingering:
            self._arriving.discard(conn)
            self._lingering.pop(conn, None)
            self.poller.unregister(conn.sock)

    def _refuse_slow(self, conn: Any) -> None:
        """Answer that the request has taken too long. A client that has sent nothing has not asked for anything."""
        self._stop_waiting(conn)
        if not conn.sock.has_received:
            self._close(conn)
            return
        request_id = request_ids.choose("")
        logger.info("request.refused", extra={"request_id": request_id, "status": 408, "error": "TooSlow"})
        answer = server_problems.answer(TimeoutError(), status=408, request_id=request_id, with_body=True)
        with contextlib.suppress(OSError):
            conn.sock.send(answer)
        self._close_gently(conn)

    def _close_gently(self, conn: Any) -> None:
        """Say that there is nothing more to come, and wait a little for the client to say the same."""
        conn.sock.take_received()
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drop, conn))
        except (OSError, ValueError, KeyError):
            self._close(conn)
            return
        self._lingering[conn] = time.monotonic() + LINGER_SECONDS

    def _drop(self, conn: Any, _: Any) -> None:
        try:
            has_ended = conn.sock.drop_received()
        except OSError:
            has_ended = True
        if has_ended:
            self._close(conn)

    def _close(self, conn: Any) -> None:
        self._stop_waiting(conn)
        self.nr_conns -= 1
        conn.close()


class _Listener:
    """A listener whose accepted sockets are ClientSockets."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def accept(self) -> tuple[ClientSocket, Any]:
        accepted, address = self._listener.accept()
        return ClientSocket.of(accepted), address

    def getsockname(self) -> Any:
        return self._listener.getsockname()


class _Unsent:
    """A stand-in for the client: it receives gunicorn's answer and keeps the status."""

    def __init__(self) -> None:
        self.status = 500

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.status = int(data.split(b" ", 2)[1])


def _require_host(req: Any) -> None:
    """Refuse a request without a Host header. gunicorn itself refuses a request with two."""
    if req.version >= (1, 1) and not _header(req, "HOST"):
        raise InvalidHeader("HOST", req=req)


def _header(req: Any, name: str) -> str:
    return next((value for known, value in req.headers if known == name), "") if req is not None else ""
