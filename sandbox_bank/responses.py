"""What the bank answers with, and the refusals that need nothing but the request to be known."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


class ResponseFault(enum.Enum):
    """How a PUT is answered. The first two happen before anything is done, the others after it was done."""

    RATE_LIMITED = "rate_limited"
    ERROR_BEFORE = "error_before"
    NONE = "none"
    ANSWER_LOST = "answer_lost"
    ERROR_AFTER = "error_after"
    TRUNCATED = "truncated"
    SLOW = "slow"


@dataclass(frozen=True, kw_only=True)
class Response:
    """One answer. What is to happen to it on its way is part of it."""

    status: HTTPStatus
    document: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    fault: ResponseFault = ResponseFault.NONE
    #: Before a slow answer.
    delay_seconds: float = 0.0
    #: The bank closes its door for so long; only this answer still gets out.
    down_seconds: float = 0.0


class Refusal(Exception):
    """The request cannot be served; nothing was done for it."""

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
    """Return the refusal of a request that breaks the contract. Not 422, which says that the bank thought about it."""
    return Refusal(HTTPStatus.BAD_REQUEST, "malformed_request", message)
