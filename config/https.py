"""Behind HTTPS, a request over plain HTTP: refused for the API, redirected for pages that people open.

An HTTP client would follow a redirect with GET instead of POST, and take the list's 200 for success. And the client's
owner would not notice that the API key goes over the network in clear.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from config import api_errors, pages
from rest import refusals


class HTTPSMiddleware:
    """Refuses what Django's SecurityMiddleware, the next one, is not to redirect."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SECURE_SSL_REDIRECT and not request.is_secure() and not self._is_answered(request):
            return api_errors.refusal(request, refusals.HTTPSRequired())
        return self.get_response(request)

    def _is_answered(self, request: HttpRequest) -> bool:
        return request.path in pages.HEALTH_PATHS or pages.is_redirected(request)
