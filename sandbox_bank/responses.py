"""The responses of the bank, and the refusals that depend on the request alone."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


class ResponseFault(enum.Enum):
    """A fault of the response to a PUT. The first four prevent the transfer; the others follow it."""

    RATE_LIMITED = "rate_limited"
    MALFORMED = "malformed"
    FORBIDDEN = "forbidden"
    ERROR_BEFORE = "error_before"
    NONE = "none"
    ANSWER_LOST = "answer_lost"
    ERROR_AFTER = "error_after"
    TRUNCATED = "truncated"
    SLOW = "slow"


@dataclass(frozen=True, kw_only=True)
class Response:
    """One response, with the fault that it meets on its way."""

    status: HTTPStatus
    document: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    fault: ResponseFault = ResponseFault.NONE
    #: The delay of a slow response.
    delay_seconds: float = 0.0
    #: The bank closes its port for this time; only this response still leaves.
    down_seconds: float = 0.0


class Refusal(Exception):
    """The request cannot be served and had no effect."""

    def __init__(self, status: HTTPStatus, code: str, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.response = problem(status, code, message, headers=headers)


def problem(
    status: HTTPStatus,
    code: str,
    message: str,
    *,
    headers: dict[str, str] | None = None,
) -> Response:
    return Response(status=status, document={"code": code, "message": message}, headers=headers or {})


def malformed(message: str) -> Refusal:
    """Return the refusal of a request that breaks the contract. Not 422: that is a decision about a valid transfer."""
    return Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", message)
