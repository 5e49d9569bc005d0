"""The listening socket: open, closed for a while, open again on the same port."""

from __future__ import annotations

import errno
import socket
import threading
import time

from sandbox_bank import console, errors
from sandbox_bank.router import Router
from sandbox_bank.server import Server

# The delay until the server notices `shutdown`.
_POLL_SECONDS = 0.02
_REOPEN_SECONDS = 0.05
_PATIENCE_SECONDS = 0.4


class Listener:
    """Opens and closes the port."""

    def __init__(self, port: int, *, router: Router) -> None:
        self.port = port
        self._router = router
        self._lock = threading.Lock()
        self._server: Server | None = None
        self._stopped = threading.Event()

    def open(self) -> None:
        """Listen; raise BankError if the port is not available."""
        try:
            self._listen()
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
            raise errors.BankError(
                f"Port {self.port} {reason}. Choose another: --port N; 0 takes a free one."
            ) from error

    def go_down(self, seconds: float, keep: socket.socket) -> None:
        """Close the port and break every connection but one; reopen the port after this time."""
        with self._lock:
            if self._server is None:
                return  # Two requests at the same time: the first one applies.
            _stop_listening(self._server)
            self._server.disconnect(keep=keep)
            self._server = None
        console.log(f"down for {seconds:g} s")
        threading.Thread(target=self._come_back, args=(seconds,), name="listener", daemon=True).start()

    def stop(self) -> None:
        """Close for good, after the current requests are answered."""
        self._stopped.set()
        with self._lock:
            if self._server is not None:
                _stop_listening(self._server)
                self._server.hang_up(patience_seconds=_PATIENCE_SECONDS)
                self._server = None

    def _listen(self) -> None:
        server = Server(self.port, router=self._router, stopped=self._stopped, go_down=self.go_down)
        self.port = server.server_port
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": _POLL_SECONDS}, name="listener", daemon=True
        ).start()
        self._server = server

    def _come_back(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while not self._stopped.wait(max(ends_at - time.monotonic(), _REOPEN_SECONDS)):
            with self._lock:
                if self._stopped.is_set():
                    return
                try:
                    self._listen()
                except OSError as error:
                    # Another program has taken the port. Callers know no other port, so we wait for it.
                    console.log(f"port {self.port} cannot be opened again yet: {error.strerror}")
                    continue
            console.log("up again")
            return


def _stop_listening(server: Server) -> None:
    server.shutdown()
    server.server_close()
