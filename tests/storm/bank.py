"""The sandbox bank: how it is started, what it is told to do wrong, and its book."""

from __future__ import annotations

import http.client
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devstack.processes import ports
from devstack.processes.children import Program
from tests.storm.limits import MEMORY_SECONDS

SECRET: Final = "storm-secret-of-requests-0123456789abcdef"
CALLBACK_SECRET: Final = "whsec_c3Rvcm0tc2VjcmV0LW9mLWNhbGxiYWNrcy0wMTIzNDU="

#: Beside what the accounts ask for (orders.py): probabilities, and what they last.
FAULTS: Final[dict[str, float]] = {
    "answer_lost": 0.04,
    "error_after": 0.04,
    "error_before": 0.04,
    "truncated": 0.02,
    "slow": 0.05,
    # Longer than the platform waits.
    "slow_seconds": 4.0,
    "rate_limited": 0.04,
    "accepted": 0.10,
    "accepted_rejected": 0.02,
    "settle_seconds": 1.0,
    "rejected": 0.02,
    "returned": 0.02,
    "duplicate_callbacks": 0.10,
    "callbacks_out_of_order": 0.10,
    "lost_callbacks": 0.10,
    "malformed": 0.02,
    "forbidden": 0.02,
    "lookup_error": 0.08,
    "lookup_stale": 0.12,
    "lookup_amount": 0.08,
    # Denied until long after the bank has forgotten it: a platform that sends it then pays twice.
    "hidden": 0.06,
    "hidden_seconds": 2.0 * MEMORY_SECONDS,
    # So that calls overlap, as far as the platform lets them.
    "latency_seconds": 0.06,
}
#: What it does in peace, too.
HABITS: Final[dict[str, float]] = {"memory_seconds": float(MEMORY_SECONDS)}

_ANSWER_SECONDS = 10.0


@dataclass
class Bank:
    port: int
    seed: int
    _orders: int = 0

    def program(self, *, book: Path, callback_url: str) -> Program:
        return Program(
            name="bank",
            command=[
                *(sys.executable, "-m", "sandbox_bank", "--port", str(self.port)),
                *("--book", str(book), "--callback-url", callback_url),
            ],
            environment={**os.environ, "BANK_SECRET": SECRET, "BANK_CALLBACK_SECRET": CALLBACK_SECRET},
            address=f"{ports.LOOPBACK}:{self.port}",
        )

    def is_up(self) -> bool:
        return ports.answers(self.port, say=b"GET /livez HTTP/1.0\r\n\r\n", expect=b" 200 ")

    def misbehave(self, *, down_seconds: float = 0.0) -> None:
        """Have it do a bit of everything wrong, behind a closed door for so long."""
        # Each of these orders restarts the random numbers of the bank.
        self._orders += 1
        order = {**FAULTS, **HABITS, "seed": 1000 * self.seed + self._orders}
        self._ask("POST", "/control/faults", order | ({"down_seconds": down_seconds} if down_seconds else {}))

    def behave(self) -> None:
        self._ask("POST", "/control/faults", HABITS)

    def book(self) -> dict[str, Any]:
        """Return all that the bank knows: every transfer with how often it was executed, and what it refused."""
        book: dict[str, Any] = self._ask("GET", "/control/book")
        return book

    def audit(self) -> dict[str, Any]:
        """Return what the bank noted of the platform: calls at once, and callbacks; and of itself: its lies."""
        audit: dict[str, Any] = self._ask("GET", "/control/audit")
        return audit

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Speak to the bank directly, past all faults of the network. Raises OSError or HTTPException."""
        connection = http.client.HTTPConnection(ports.LOOPBACK, self.port, timeout=_ANSWER_SECONDS)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"{method} {path}: {response.status} {answer.decode(errors='replace')}")
        return json.loads(answer)
