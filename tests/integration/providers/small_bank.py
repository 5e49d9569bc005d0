"""A bank in a thread that keeps docs/bank-api.yaml; written from the contract alone. The account says what goes wrong.

`small_rejected` is refused, `small_unavailable` is too much at the moment, `small_lost` is paid without an answer to
the first request, `small_accepted` stays accepted. Anything else is paid.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from tests.unit.payouts.providers import banks

REFUSALS = {
    "small_rejected": (422, {"code": "account_closed", "message": "The account is closed."}),
    "small_unavailable": (429, {}),
}


class SmallBank(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.transfers: dict[str, dict[str, Any]] = {}
        self.executions: Counter[str] = Counter()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def count_executions(self, reference: str) -> int:
        return self.executions[reference]

    def make_callback(self, reference: str) -> tuple[dict[str, str], bytes]:
        body = json.dumps({"type": "transfer.updated", "transfer": self.transfers[reference]}).encode()
        timestamp = str(int(time.time()))
        key = base64.b64decode(banks.CALLBACK_SECRET.removeprefix("whsec_"))
        digest = hmac.new(key, b".".join([b"ev_1", timestamp.encode(), body]), hashlib.sha256).digest()
        signature = base64.b64encode(digest).decode()
        headers = {"webhook-id": "ev_1", "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"}
        return headers, body

    def execute(self, reference: str, order: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            if reference not in self.transfers:
                self.executions[reference] += 1
                self.transfers[reference] = banks.transfer(
                    id=f"tr_{len(self.transfers)}",
                    reference=reference,
                    amount=order["amount"],
                    currency=order["currency"],
                    status="accepted" if order["recipient"]["account"] == "small_accepted" else "paid",
                    final=order["recipient"]["account"] != "small_accepted",
                )
            return self.transfers[reference]


class Desk(BaseHTTPRequestHandler):
    """Where the customers are served."""

    protocol_version = "HTTP/1.1"

    @property
    def bank(self) -> SmallBank:
        return cast(SmallBank, self.server)

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_ours(body):
            return self._answer(401, {"code": "unauthorized", "message": "Who are you?"})
        reference, order = self.path.rpartition("/")[2], json.loads(body)
        account = order["recipient"]["account"]
        if account in REFUSALS:
            status, document = REFUSALS[account]
            return self._answer(status, {**document, "reference": reference})
        is_new = reference not in self.bank.transfers
        transfer = self.bank.execute(reference, order)
        if account == "small_lost" and is_new:
            self.close_connection = True
            return None
        return self._answer(201 if is_new else 200, transfer)

    def do_GET(self) -> None:
        if not self._is_ours(b""):
            return self._answer(401, {"code": "unauthorized", "message": "Who are you?"})
        transfer = self.bank.transfers.get(self.path.rpartition("/")[2])
        if transfer is None:
            return self._answer(404, {"code": "transfer_not_found", "message": "There is none."})
        return self._answer(200, transfer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        pass

    def _is_ours(self, body: bytes) -> bool:
        if "Authorization" in self.headers:
            return bool(self.headers["Authorization"] == f"Bearer {banks.TOKEN}")
        timestamp = self.headers["Payouts-Timestamp"]
        signed = f"{timestamp}.{self.command}.{self.path}.".encode() + body
        signature = hmac.new(banks.SECRET.encode(), signed, hashlib.sha256).hexdigest()
        return self.headers["Payouts-Signature"] == f"v1={signature}" and abs(time.time() - int(timestamp)) < 300

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def open_bank() -> Iterator[SmallBank]:
    with SmallBank() as bank:
        thread = threading.Thread(target=bank.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield bank
        finally:
            bank.shutdown()
            thread.join(10)
