from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from django.test import RequestFactory

from config import logs


def make_record(message: str = "payout.settled", **extra: Any) -> logging.LogRecord:
    record = logging.makeLogRecord({"name": "payouts.engine.processing", "levelname": "INFO", "msg": message, **extra})
    assert logs.RequestIdFilter().filter(record)
    return record


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    line = logs.JSONFormatter().format(record)
    assert "\n" not in line
    parsed: dict[str, Any] = json.loads(line)
    return parsed


class TestJSON:
    def test_is_one_object_with_the_event_and_its_values(self) -> None:
        line = as_json(make_record(payout_id="0193", attempts=2))

        assert line.pop("at")
        assert line == {
            "level": "INFO",
            "logger": "payouts.engine.processing",
            "event": "payout.settled",
            "request_id": "",
            "payout_id": "0193",
            "attempts": 2,
        }

    def test_carries_the_id_of_the_request_under_way(self) -> None:
        token = logs.current_request_id.set("abc-123")
        try:
            line = as_json(make_record())
        finally:
            logs.current_request_id.reset(token)

        assert line["request_id"] == "abc-123"

    def test_cannot_be_broken_by_a_line_feed(self) -> None:
        assert as_json(make_record("a\nb", payout_id='x\n{"event": "forged"}'))["event"] == "a\nb"

    def test_has_the_traceback(self) -> None:
        try:
            int("broken")
        except ValueError:
            line = as_json(make_record(exc_info=sys.exc_info()))

        assert "ValueError: invalid literal" in line["exc_info"]


class TestSecrets:
    @pytest.mark.parametrize(
        "name",
        [
            "authorization",
            "api_key",
            "Authorization",
            "client_secret",
            "password",
            "recipient_details",
            "account",
            "cookies",
            "HTTP_COOKIE",
        ],
    )
    def test_are_masked_whatever_logs_them(self, name: str) -> None:
        record = make_record(**{name: "hunter2"})

        assert "hunter2" not in logs.JSONFormatter().format(record)
        assert "hunter2" not in logs.ConsoleFormatter().format(record)
        assert getattr(record, name) == logs.MASK

    # Its text has the query string, and a search may hold a name.
    def test_of_a_request_stay_out(self) -> None:
        request = RequestFactory().get("/api/payouts/?search=Jane+Doe", HTTP_AUTHORIZATION="Api-Key hunter2")

        line = as_json(make_record(request=request, status_code=500))

        assert line["path"] == "/api/payouts/"
        assert "Jane" not in json.dumps(line)
        assert "hunter2" not in json.dumps(line)
        assert "request" not in line


class TestConsole:
    def test_is_one_readable_line(self) -> None:
        line = logs.ConsoleFormatter().format(make_record(payout_id="0193", status="paid", empty=""))

        assert line.split(" ", 1)[1] == "INFO payout.settled payout_id=0193 status=paid"

    def test_stays_one_line_whatever_its_values(self) -> None:
        line = logs.ConsoleFormatter().format(make_record("a\nb", path="/\x1b[31m\r\n\x7f\x9b\u2028x"))

        assert line.split(" ", 1)[1] == r"INFO a\x0ab path=/\x1b[31m\x0d\x0a\x7f\x9b\u2028x"
