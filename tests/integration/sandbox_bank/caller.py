"""A caller of the bank that follows the contract by its own means, and shows what came back to the byte."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

TOKEN = "token-of-the-tests"
SECRET = "secret-of-the-tests"
# "secret of the callbacks" in base64.
CALLBACK_SECRET = "whsec_c2VjcmV0IG9mIHRoZSBjYWxsYmFja3M="
CALLBACK_KEY = b"secret of the callbacks"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
_SECONDS = 10.0

Value = TypeVar("Value")


@dataclass(frozen=True)
class Received:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def problem(self) -> tuple[int, str]:
        """Status and code of a refusal, which has a message, too, and the reference or transfer that it is about."""
        about = {422: {"reference"}, 409: {"transfer"}}
        assert set(self.document) == {"code", "message"} | about.get(self.status, set())
        assert self.document["message"]
        return self.status, self.document["code"]


@dataclass(frozen=True)
class Caller:
    port: int

    def call(
        self, method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Received:
        """Send one request on a connection of its own. Raises what http.client raises."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return Received(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def put(self, reference: str, account: str = "DE89370400440532013000", **terms: Any) -> Received:
        return self.call("PUT", f"/v1/transfers/{reference}", body_of(account, **terms), BEARER)

    def get(self, reference: str) -> Received:
        return self.call("GET", f"/v1/transfers/{reference}", headers=BEARER)

    def status(self, reference: str) -> str:
        return str(self.get(reference).document["status"])

    def set_faults(self, **faults: Any) -> Any:
        answer = self.call("POST", "/control/faults", json.dumps(faults).encode())
        assert answer.status == 200, answer
        return answer.document

    def book(self) -> Any:
        return self.call("GET", "/control/book").document

    def entry(self, reference: str) -> tuple[str, int, int]:
        """Return status, executions and requests of a transfer."""
        entries = [entry for entry in self.book()["transfers"] if entry["reference"] == reference]
        return entries[0]["status"], entries[0]["executions"], entries[0]["requests"]


def terms_of(account: str = "DE89370400440532013000", **terms: Any) -> dict[str, Any]:
    return {"amount": "10.50", "currency": "EUR", "recipient": {"name": "Jane Doe", "account": account}, **terms}


def body_of(account: str = "DE89370400440532013000", **terms: Any) -> bytes:
    return json.dumps(terms_of(account, **terms)).encode()


def sign(
    method: str, target: str, body: bytes = b"", *, secret: str = SECRET, age_seconds: float = 0
) -> dict[str, str]:
    """Return the headers of a signed request."""
    timestamp = str(int(time.time() - age_seconds))
    signed = f"{timestamp}.{method}.{target}.".encode() + body
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {"Payouts-Timestamp": timestamp, "Payouts-Signature": f"v1={signature}"}


def eventually(ask: Callable[[], Value], expected: Value, *, seconds: float = 5.0) -> None:
    """Ask until the answer is the expected one."""
    deadline = time.monotonic() + seconds
    while (value := ask()) != expected:
        assert time.monotonic() < deadline, f"after {seconds} s it is still {value!r} and not {expected!r}"
        time.sleep(0.01)
