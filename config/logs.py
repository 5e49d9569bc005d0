"""Log lines: one JSON object each in production, one readable line each on a terminal.

Events are dotted, lower case and past tense (`payout.settled`); their values travel as `extra`. Secrets never get
here: a field whose name says that it is one is masked, whatever logged it.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

from pythonjsonlogger.json import JsonFormatter

#: The id of the request under way, set by config/middleware.py.
current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")

SECRET_WORDS = ("authorization", "api_key", "secret", "password", "recipient", "cookie", "account")
MASK = "[redacted]"
STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "request_id", "taskName"}


class RequestIdFilter(logging.Filter):
    """Puts the id of the request under way on each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "request_id"):
            record.request_id = current_request_id.get()
        if hasattr(record, "request"):
            # Django attaches the request itself, whose text has the query string: a search may hold a name.
            record.path = getattr(record.request, "path", "")
            del record.request
        for name in record.__dict__.keys() - STANDARD_FIELDS:
            if any(word in name.lower() for word in SECRET_WORDS):
                setattr(record, name, MASK)
        return True


class JSONFormatter(JsonFormatter):
    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s",
            rename_fields={"asctime": "at", "levelname": "level", "name": "logger", "message": "event"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )


# A terminal executes some of them, and a line feed would begin a line that was not logged.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class ConsoleFormatter(logging.Formatter):
    """`12:00:00 INFO payout.settled payout_id=... status=paid`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is logging's.
        values: dict[str, Any] = {
            name: value for name, value in record.__dict__.items() if name not in STANDARD_FIELDS and value != ""
        }
        line = " ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in values.items())])
        return line.translate(_CONTROLS)
