"""Middleware of all requests, and Django's own for the admin only."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from config import request_ids
from config.logs import current_request_id

GetResponse = Callable[[HttpRequest], HttpResponseBase]

ADMIN_PATH = "/admin/"


class RequestIdMiddleware:
    """Give each request an id: the caller's X-Request-Id if it is well-formed, else a new one.

    The id is in the answer's X-Request-Id, in each problem document, and in each log line of the request.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = request_ids.choose(request.headers.get("X-Request-Id", ""))
        token = current_request_id.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            current_request_id.reset(token)
        response.headers["X-Request-Id"] = request_id
        return response


class HeadMiddleware:
    """Answer HEAD with the headers of GET and no body: the server would drop the body with a warning."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.method == "HEAD":
            _drop_body(response)
        return response


def _drop_body(response: HttpResponseBase) -> None:
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()
    elif isinstance(response, HttpResponse):
        response.content = b""


class ContentSecurityPolicyMiddleware:
    """Set one policy for the API, which has no pages, one for the documentation and one for the admin.

    Only the admin needs 'unsafe-eval': its theme evaluates expressions (Alpine.js). Redoc starts a worker from a blob.
    No page loads anything from another host.
    """

    API = "default-src 'none'; form-action 'none'; frame-ancestors 'none'"
    DOCUMENTATION = (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; "
        "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
    ADMIN = DOCUMENTATION.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", self._policy(request.path))
        if request.path.startswith("/api/"):
            # Caches on the way must not store payouts.
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _policy(self, path: str) -> str:
        if path.startswith(ADMIN_PATH):
            return self.ADMIN
        return self.DOCUMENTATION if path.startswith("/api/schema/") else self.API


class NotModifiedMiddleware:
    """Remove Content-Length from a 304. It would have to be the length of the omitted body (RFC 9110, section 8.6), but
    Django's CommonMiddleware sets the length of the empty one.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            del response.headers["Content-Length"]
        return response


class AdminOnly:
    """Applies the next base, a middleware of Django, to paths of the admin only."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # The next base has both methods.
        if request.path.startswith(ADMIN_PATH):
            return super().__call__(request)  # type: ignore[misc,no-any-return]
        return self.get_response(request)  # type: ignore[attr-defined,no-any-return]


class AdminSessionMiddleware(AdminOnly, SessionMiddleware):
    pass


class AdminCsrfMiddleware(AdminOnly, CsrfViewMiddleware):
    def process_view(
        self, request: HttpRequest, callback: Any, callback_args: Any, callback_kwargs: Any
    ) -> HttpResponseForbidden | None:
        if not request.path.startswith(ADMIN_PATH):
            return None
        return super().process_view(request, callback, callback_args, callback_kwargs)


class AdminAuthenticationMiddleware(AdminOnly, AuthenticationMiddleware):
    pass


class AdminMessageMiddleware(AdminOnly, MessageMiddleware):
    pass
