"""One connection of a client to the web server, and what comes back on it."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from devstack.processes import ports

#: Longer than nearly every answer takes. After it the outcome is unknown, which is the point.
ANSWER_SECONDS = 4.0
#: Nothing was done, and the same request may succeed later: a key under way, a rate limit.
_LATER = frozenset({"idempotency_key_in_progress", "too_many_requests"})


@dataclass(frozen=True)
class Answer:
    """What came back: the status and the body, or 0 and nothing if there was no answer."""

    status: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ambiguous(self) -> bool:
        """Whether the request may have been carried out, or not."""
        return self.status == 0 or self.status >= 500

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))

    @property
    def is_final(self) -> bool:
        return not self.is_ambiguous and self.code not in _LATER


@dataclass(frozen=True)
class Request:
    """What a client asks, with the API key of the merchant and mode."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    #: The idempotency key; "": none.
    key: str = ""


class Line:
    """One connection to the web server, opened again after it broke."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=ANSWER_SECONDS)
        self._is_waiting = False

    def say(self, api_key: str, request: Request) -> None:
        headers = {"Authorization": f"Api-Key {api_key}", "Content-Type": "application/json"}
        if request.key:
            headers["Idempotency-Key"] = request.key
        body = None if request.body is None else json.dumps(request.body)
        self._is_waiting = True
        with self._breaking():
            self._connection.request(request.method, request.path, body, headers)

    def hear(self) -> Answer:
        if self._is_waiting:
            with self._breaking():
                response = self._connection.getresponse()
                return Answer(response.status, _document(response.read()))
        return Answer()

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        """Whatever goes wrong on the way is no answer, and an end of this connection."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError):
            self._is_waiting = False
            self._connection.close()


def _document(body: bytes) -> dict[str, Any]:
    """Read a JSON object; a server that is about to end may answer with words of its own."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
