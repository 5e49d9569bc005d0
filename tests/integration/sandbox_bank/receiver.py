"""Who is told by the bank: takes callbacks, or does not, and remembers each."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.integration.sandbox_bank.caller import CALLBACK_KEY


@dataclass(frozen=True)
class Callback:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def transfer(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert document["type"] == "transfer.updated"
        return dict(document["transfer"])

    def is_signed(self, key: bytes = CALLBACK_KEY) -> bool:
        """Calculate the signature as https://www.standardwebhooks.com describes it."""
        content = ".".join([self.event_id, self.headers["webhook-timestamp"], self.body.decode()])
        digest = hmac.digest(key, content.encode(), hashlib.sha256)
        return self.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


class Receiver(ThreadingHTTPServer):
    """`answers` are given one after the other; when they are used up, 202."""

    daemon_threads = True

    def __init__(self, *, port: int = 0, answers: Sequence[int] = ()) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._answers = list(answers)
        self._lock = threading.Lock()
        self.received: list[Callback] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def port(self) -> int:
        return self.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/callbacks/?from=bank"

    def take(self, callback: Callback) -> int:
        """Remember the callback and return what to answer."""
        with self._lock:
            self.received.append(callback)
            return self._answers.pop(0) if self._answers else 202

    def told(self, name: str = "status") -> list[Any]:
        """Return this of each callback's transfer, in their order."""
        return [callback.transfer[name] for callback in list(self.received)]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self.server.take(Callback(self.path, headers, body, time.monotonic()))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


def quiet(seconds: float, ask: Callable[[], object]) -> bool:
    """Say whether the answer stays the same for so long."""
    before = ask()
    time.sleep(seconds)
    return ask() == before
