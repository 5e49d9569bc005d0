"""Problem documents for the requests that gunicorn refuses before Django sees them.

This module does not import Django: gunicorn imports it before the settings are read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final

from gunicorn.http import errors

CONTENT_TYPE: Final = "application/problem+json"


@dataclass(frozen=True)
class ServerProblem:
    code: str
    title: str
    #: What to do. If empty, the error's own text is the detail.
    detail: str = ""


#: By status.
PROBLEMS: Final[dict[int, ServerProblem]] = {
    400: ServerProblem("invalid_request", "The request is not valid"),
    403: ServerProblem("permission_denied", "Not allowed"),
    408: ServerProblem(
        "request_too_slow",
        "The request took too long to arrive",
        "Send the head of a request within 5 seconds, and its body within 10. Nothing was done.",
    ),
    414: ServerProblem(
        "request_line_too_long",
        "The request line is too long",
        "Method, path and query have more bytes than are taken. Send fewer or shorter parameters.",
    ),
    417: ServerProblem("expectation_failed", "The expectation cannot be met"),
    431: ServerProblem(
        "headers_too_large", "The headers are too large", "There are too many headers, or one of them is too long."
    ),
    500: ServerProblem(
        "internal_error", "Something went wrong on our side", "Quote the request_id when you report it."
    ),
    501: ServerProblem(
        "transfer_coding_unknown",
        "The transfer coding is not supported",
        "The body may come in chunks, and in no other transfer coding.",
    ),
    505: ServerProblem("http_version_not_supported", "The version of HTTP is not supported", "Speak HTTP/1.1."),
}


def status_of(error: Exception, *, chosen: int) -> int:
    """Return the status for the error. gunicorn's choice stays, except 400 for an unsupported version of HTTP."""
    is_version = isinstance(error, errors.InvalidHTTPVersion) and isinstance(error.version, tuple)
    return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED.value if is_version else chosen


def document(error: Exception, *, status: int, request_id: str) -> dict[str, Any]:
    """Return the problem document for an error that gunicorn answers with this status."""
    problem = PROBLEMS.get(status) or PROBLEMS[400 if status < HTTPStatus.INTERNAL_SERVER_ERROR else 500]
    detail = problem.detail or _detail(error)
    body = {
        "type": "about:blank",
        "title": problem.title,
        "status": status,
        "detail": detail,
        "code": problem.code,
        "request_id": request_id,
    }
    if status != HTTPStatus.BAD_REQUEST:
        return body
    return {**body, "errors": [{"field": "request", "code": "malformed", "message": detail}]}


def answer(error: Exception, *, status: int, request_id: str, with_body: bool) -> bytes:
    """Return the bytes of the answer. The answer announces that the connection is closed."""
    body = json.dumps(document(error, status=status, request_id=request_id)).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Date: {formatdate(usegmt=True)}\r\n"
        "Connection: close\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\n"
        f"X-Request-Id: {request_id}\r\n"
        "\r\n"
    )
    return head.encode() + (body if with_body else b"")


def _detail(error: Exception) -> str:
    match error:
        case errors.InvalidHeaderName() if "_" in str(error.hdr):
            return f"The name of a header has hyphens and no underscores: {error.hdr!r}."
        case errors.InvalidHeader() if error.hdr == "HOST":
            return "A request has one header Host, which is not empty (RFC 9112, section 3.2)."
        case _:
            return f"{error}."
