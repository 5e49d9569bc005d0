from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from config.logs import current_request_id
from config.middleware import RequestIdMiddleware


def answer(**extra: Any) -> tuple[HttpResponse, str]:
    """Return the answer, and the id that stood in the log meanwhile."""
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        del request
        seen.append(current_request_id.get())
        return HttpResponse()

    response = RequestIdMiddleware(view)(RequestFactory().get("/", **extra))
    assert isinstance(response, HttpResponse)
    return response, seen[0]


class TestRequestId:
    def test_is_the_callers(self) -> None:
        response, logged = answer(HTTP_X_REQUEST_ID="Order_4711.retry-2")

        assert response.headers["X-Request-Id"] == logged == "Order_4711.retry-2"

    def test_is_new_where_the_caller_sends_none(self) -> None:
        (first, logged), (second, _) = answer(), answer()

        assert uuid.UUID(first.headers["X-Request-Id"]).version == 7
        assert first.headers["X-Request-Id"] == logged
        assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]

    @given(st.text(alphabet=st.characters(max_codepoint=255)))
    def test_can_break_neither_a_header_nor_a_log_line(self, offered: str) -> None:
        response, logged = answer(HTTP_X_REQUEST_ID=offered)

        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", logged)
        assert response.headers["X-Request-Id"] == logged

    def test_ends_with_the_request(self) -> None:
        def broken(request: HttpRequest) -> HttpResponse:
            raise RuntimeError

        with pytest.raises(RuntimeError):
            RequestIdMiddleware(broken)(RequestFactory().get("/", HTTP_X_REQUEST_ID="mine"))

        assert current_request_id.get() == ""
