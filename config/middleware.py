"""What happens to every request before a view sees it."""

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
    """Give each request an id: the caller's X-Request-Id where it is well-formed, else a new one.

    The id stands in the answer's X-Request-Id, in each problem document and in each log line of the request.
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
    """Answer HEAD with the headers of GET, and without the body: the server would drop it and warn of it."""

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
    """One policy for the API, which shows nothing, one for the pages that people see.

    The admin's theme evaluates expressions (Alpine.js), so its pages need 'unsafe-eval'; nothing else does. Redoc
    starts a worker from a blob. Nothing is ever loaded from another host.
    """

    API = "default-src 'none'; frame-ancestors 'none'"
    DOCUMENTATION = (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self'; "
        "object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
    )
    ADMIN = DOCUMENTATION.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", self._policy(request.path))
        if request.path.startswith("/api/"):
            # Only the caller may store a payout.
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _policy(self, path: str) -> str:
        if path.startswith(ADMIN_PATH):
            return self.ADMIN
        return self.DOCUMENTATION if path.startswith("/api/schema/") else self.API


class NotModifiedMiddleware:
    """Take the length off a 304. It would be that of the body which is left out (RFC 9110, section 8.6), and Django's
    CommonMiddleware counts the bytes that are sent.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code == HTTPStatus.NOT_MODIFIED:
            del response.headers["Content-Length"]
        return response


class AdminOnly:
    """Applies a middleware of Django to paths of the admin only."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Django's middleware is the next base; it has both of these.
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
