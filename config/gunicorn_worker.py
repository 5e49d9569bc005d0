"""gunicorn's threaded worker, with time for slow clients and with refusals as problem documents.

No import of Django at the top: gunicorn imports this module before the settings are read.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from typing import Any

from gunicorn.http.errors import InvalidHeader
from gunicorn.workers.gthread import ThreadWorker

from config import request_ids, server_problems
from config.client_sockets import ClientSocket

logger = logging.getLogger(__name__)


class Worker(ThreadWorker):
    def accept(self, listener: socket.socket) -> None:
        super().accept(_Listener(listener))

    def handle_request(self, req: Any, conn: Any) -> Any:
        _require_host(req)
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
