"""HTTP/1.1 on the loopback interface, with responses that arrive and responses that are lost on purpose."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from sandbox_bank import console, responses
from sandbox_bank.responses import Refusal, Response, ResponseFault
from sandbox_bank.router import Request, Router

LOOPBACK: Final = "127.0.0.1"
BODY_BYTES_MAX: Final = 64 * 1024
# How much of a larger body is read and discarded, and for how long.
_DISCARDED_BYTES_MAX: Final = 1024 * 1024
_DISCARD_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 75.0
_POLL_SECONDS: Final = 0.01
_LENGTH: Final = re.compile(r"[0-9]{1,18}")


class Server(ThreadingHTTPServer):
    """Listens, and keeps a list of its connections to be able to break them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        *,
        router: Router,
        stopped: threading.Event,
        go_down: Callable[[float, socket.socket], None],
    ) -> None:
        self.router = router
        #: Set when the bank stops; it ends the wait of a slow response.
        self.stopped = stopped
        #: Closes the port for some seconds and breaks every connection but this one.
        self.go_down = go_down
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__((LOOPBACK, port), Connection)

    def server_bind(self) -> None:
        # Not the method of HTTPServer, which looks the host name up in DNS.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def disconnect(self, *, keep: socket.socket | None = None) -> None:
        """Break every connection but this one."""
        with self._open_lock:
            broken = [connection for connection in self._open if connection is not keep]
        for connection in broken:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def hang_up(self, *, patience_seconds: float) -> None:
        """Finish the current requests, accept no more, and break the connections that are not done in time."""
        with self._open_lock:
            listening = list(self._open)
        for connection in listening:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RD)
        ends_at = time.monotonic() + patience_seconds
        while self._open and time.monotonic() < ends_at:
            time.sleep(_POLL_SECONDS)
        self.disconnect()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a caller that has disconnected; any other error is a bug and is printed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Connection(BaseHTTPRequestHandler):
    """One connection, which serves its requests one after the other."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    # Buffered, so that head and body are sent together.
    wbufsize = -1
    _rest_bytes = 0

    def serve(self) -> None:
        try:
            request = self._read()
            response = self.server.router.serve(request)
        except Refusal as refusal:
            response = refusal.response
        except sqlite3.Error as error:
            console.log(f"the book cannot be used: {error}")
            response = responses.problem(HTTPStatus.SERVICE_UNAVAILABLE, "book_unavailable", "Nothing is known of it.")
        self._send_response(response)
        self._discard_rest()

    # http.server calls these; the router decides which methods an address allows.
    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = serve  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Respond to a request that http.server could not parse. It is the caller's mistake, so never a 5xx."""
        del explain
        self.close_connection = True
        status = HTTPStatus(code) if 400 <= code < 500 else HTTPStatus.BAD_REQUEST
        self.request_version = self.protocol_version
        self._send_response(responses.problem(status, "malformed_request", message or status.phrase))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Print nothing for each request: the service logs what happened."""

    def parse_request(self) -> bool:
        """Refuse HTTP/0.9, whose responses have no status."""
        if not super().parse_request():
            return False
        if self.request_version == "HTTP/0.9":
            self.send_error(HTTPStatus.BAD_REQUEST, "Say which version of HTTP it is.")
            return False
        return True

    def handle_expect_100(self) -> bool:
        """Send `100 Continue` at once; it would stay in the buffer until the response otherwise."""
        expected = super().handle_expect_100()
        self.wfile.flush()
        return expected

    def _read(self) -> Request:
        body = self._read_body()
        # Repeated headers are joined, so that a second signature cannot hide behind the first.
        headers = {name.lower(): ", ".join(self.headers.get_all(name, [])) for name in self.headers}
        # Not self.path: http.server normalises its slashes, and the signature covers the original.
        return Request(self.command, self.requestline.split()[1], headers, body)

    def _read_body(self) -> bytes:
        length = self._content_length()
        if length > BODY_BYTES_MAX:
            self._rest_bytes = min(length, _DISCARDED_BYTES_MAX)
            raise self._refuse_body(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body has at most {BODY_BYTES_MAX} bytes.")
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionAbortedError("The caller went away in the middle of the body.")
        return body

    def _discard_rest(self) -> None:
        """Read the rest of a refused body. Closing before that would reset the connection and lose the refusal."""
        if not self._rest_bytes:
            return
        self.wfile.flush()
        self.connection.settimeout(_DISCARD_SECONDS)
        with contextlib.suppress(OSError):
            self.rfile.read(self._rest_bytes)

    def _content_length(self) -> int:
        if "Transfer-Encoding" in self.headers:
            raise self._refuse_body(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length; chunks are not taken.")
        lengths = set(self.headers.get_all("Content-Length", []))
        if not lengths and self.command not in ("PUT", "POST"):
            return 0
        if not lengths:
            raise self._refuse_body(HTTPStatus.LENGTH_REQUIRED, "Send a Content-Length.")
        if len(lengths) > 1 or not _LENGTH.fullmatch(next(iter(lengths))):
            raise self._refuse_body(HTTPStatus.BAD_REQUEST, "Content-Length must be one number.")
        return int(lengths.pop())

    def _refuse_body(self, status: HTTPStatus, message: str) -> Refusal:
        """Refuse and close: the start of a next request is unknown."""
        self.close_connection = True
        return Refusal(status, "malformed_request", message)

    def _send_response(self, response: Response) -> None:
        if response.down_seconds:
            # Closed before the response: a caller who has read it finds the port closed.
            self.server.go_down(response.down_seconds, self.connection)
            self.close_connection = True
        if response.fault == ResponseFault.ANSWER_LOST:
            self.close_connection = True
            return
        if response.fault == ResponseFault.SLOW:
            self.server.stopped.wait(response.delay_seconds)
        body = json.dumps(response.document).encode()
        if response.fault == ResponseFault.TRUNCATED:
            self.close_connection = True
        self.wfile.write(self._head(response, length=len(body)))
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if response.fault == ResponseFault.TRUNCATED else body)

    def _head(self, response: Response, *, length: int) -> bytes:
        lines = [
            f"{self.protocol_version} {response.status.value} {response.status.phrase}",
            "Server: sandbox-bank",
            f"Date: {self.date_time_string()}",
            "Content-Type: application/json",
            f"Content-Length: {length}",
            *(f"{name}: {value}" for name, value in response.headers.items()),
            *(["Connection: close"] if self.close_connection and response.fault != ResponseFault.TRUNCATED else []),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
