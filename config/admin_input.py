"""Invalid input to the admin is answered with 400, and is not an internal error. Nor are too many logins at once.

A form reports errors of its fields, and a list redirects to the whole list (backoffice/base.py). This module handles
the rest, such as a typed address: the id of an object, or the search term of a field with suggestions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from backoffice import logins
from config import api_errors
from config.middleware import ADMIN_PATH

logger = logging.getLogger(__name__)

#: Errors of PostgreSQL or psycopg for a value that cannot be stored: a NUL, a number or a time out of range.
UNSTORABLE = (DataError, OverflowError)


class AdminInputMiddleware:
    """Answer 400 if a page of the admin failed because the database cannot hold a value."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, logins.LoginsBusy):
            return _logins_busy(request)
        if not (request.path.startswith(ADMIN_PATH) and isinstance(exception, UNSTORABLE)):
            return None
        # Not the message: it quotes the value.
        logger.warning("admin.input.refused", extra={"path": request.path, "error": type(exception).__name__})
        return api_errors.bad_request(request, BadRequest())


def _logins_busy(request: HttpRequest) -> HttpResponse:
    response = render(request, "admin/logins_busy.html", {"address": request.get_full_path()}, status=429)
    response.headers["Retry-After"] = str(logins.RETRY_AFTER_SECONDS)
    return response
