"""Input to the admin that no page expects: an answer to its sender, and not a defect of ours.

A form says what is wrong with its fields, and a list leads back to the whole list (backoffice/base.py). This is for the
rest, such as an address that was typed: the id of an object, or what a field with suggestions looks for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from config import api_errors
from config.middleware import ADMIN_PATH

logger = logging.getLogger(__name__)

#: What PostgreSQL, or psycopg on the way there, has no place for: a NUL, a number or a time out of range.
UNSTORABLE = (DataError, OverflowError)


class AdminInputMiddleware:
    """Answer 400 if a page of the admin failed because the database cannot hold what it was given."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not (request.path.startswith(ADMIN_PATH) and isinstance(exception, UNSTORABLE)):
            return None
        # Not the message: it quotes the value.
        logger.warning("admin.input.refused", extra={"path": request.path, "error": type(exception).__name__})
        return api_errors.bad_request(request, BadRequest())
