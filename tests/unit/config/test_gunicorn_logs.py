"""A stranger cannot write lines of his own into the access log."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from gunicorn.config import Config

from config.gunicorn_logs import Logger

#: All controls, and what ends a JSON string or a line for some reader.
NASTY = "".join(map(chr, [*range(0x20), 0x22, 0x5C, *range(0x7F, 0xA0)])) + "\u2028\u2029%s%(U)s"
FORGED = '","path":"/forged"}\n{"event":"request.answered"}'


class Answer:
    status = "404 Not Found"
    sent = 12
    headers = (("X-Request-Id", "order-1"),)


class Request:
    headers = (("USER-AGENT", NASTY), ("AUTHORIZATION", "Api-Key secret"))


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Any:
    """Return what the access log has after a request of this path."""
    configuration = Config()
    configuration.set("accesslog", "-")

    def log(path: str, method: str = "GET") -> str:
        logger = Logger(configuration)
        raw = path.encode().decode("latin-1")
        environ = {
            "REQUEST_METHOD": method,
            "RAW_URI": path,
            "PATH_INFO": raw,
            "QUERY_STRING": NASTY,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_USER_AGENT": NASTY,
        }
        logger.access(Answer(), Request(), environ, timedelta(seconds=1.5))
        return capfd.readouterr().out

    return log


def test_has_a_line_for_a_request(log: Any) -> None:
    entry = json.loads(log("/api/m\u00fc/"))

    assert entry.pop("at").startswith("[")
    assert entry == {
        "event": "request.answered",
        "method": "GET",
        "path": "/api/m\u00fc/",
        "status": "404",
        "bytes": "12",
        "seconds": "1.500000",
        "request_id": "order-1",
    }


@pytest.mark.parametrize("path", [f"/{NASTY}", f"/{FORGED}", unquote("/a%0a%1b%5b31mb")])
def test_has_one_line_whatever_the_path(log: Any, path: str) -> None:
    line = log(path)

    assert line.endswith("}\n")
    assert line.count("\n") == 1
    assert all(" " <= character <= "~" for character in line[:-1])
    assert json.loads(line)["path"] == path


def test_has_one_line_whatever_the_method(log: Any) -> None:
    assert json.loads(log("/a", method="a\nb"))["method"] == "a\nb"
