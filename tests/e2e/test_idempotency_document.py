"""The loops of docs/idempotency.md, run as they stand there, through a network that loses requests and answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from tests.support.backend import body
from tests.support.stack import Stack

DOCUMENT = (Path(__file__).parents[2] / "docs" / "idempotency.md").read_text(encoding="utf-8")
(PYTHON,) = re.findall(r"```python\n(.*?)```", DOCUMENT, flags=re.DOTALL)
(SHELL,) = re.findall(r"```bash\n(.*?)```", DOCUMENT, flags=re.DOTALL)


class Network(BaseHTTPRequestHandler):
    """Hands requests on to the platform, and does to one after the other what `troubles` says."""

    base_url: ClassVar[str]
    troubles: ClassVar[list[str]]
    statuses: ClassVar[list[int]]

    def do_POST(self) -> None:
        trouble = self.troubles.pop(0) if self.troubles else ""
        request = self.rfile.read(int(self.headers["Content-Length"]))
        if trouble == "request lost":
            self.close_connection = True
        elif trouble == "busy":
            self._answer(503, b"{}", {"Retry-After": "1"})
        elif trouble == "busy until a date":
            self._answer(503, b"{}", {"Retry-After": "Mon, 23 Nov 2026 16:00:00 GMT"})
        elif trouble == "under way":
            self._answer(409, b"{}", {"Retry-After": "1"})
        else:
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type", "Idempotency-Key")}
            answer = httpx.post(f"{self.base_url}{self.path}", content=request, headers=headers, trust_env=False)
            self.statuses.append(answer.status_code)
            if trouble == "answer lost":
                self.close_connection = True
            else:
                self._answer(answer.status_code, answer.content, {"Content-Type": answer.headers["Content-Type"]})

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        pass

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def network(stack: Stack, *coming: str) -> Iterator[tuple[str, list[int]]]:
    """Yield the address of the network, and the statuses that the platform answers with."""

    class ThisNetwork(Network):
        base_url = stack.base_url
        troubles: ClassVar = [*coming]
        statuses: ClassVar[list[int]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), ThisNetwork) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", ThisNetwork.statuses
        finally:
            server.shutdown()
            thread.join(5)


@pytest.fixture(scope="module")
def api_key(stack: Stack) -> str:
    return stack.issue_api_key("merchant of idempotency.md")


@pytest.fixture
def run(api_key: str, tmp_path: Path) -> Callable[..., list[str]]:
    """Run a program of the document and return its lines; nobody waits for the pauses between its attempts."""
    (tmp_path / "sleep").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "sleep").chmod(0o755)

    def go(command: list[str], url: str, expect: int = 0) -> list[str]:
        environment = {**os.environ, "API_KEY": api_key, "PAYOUTS_URL": url, "NO_PROXY": "*"}
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == expect, done.stderr
        return (done.stderr if expect else done.stdout).splitlines()

    return go


def python(call: str) -> list[str]:
    return [
        sys.executable,
        "-c",
        f"import time\ntime.sleep = lambda seconds: None\n__name__ = 'document'\n{PYTHON}\n{call}",
    ]


class TestPython:
    CALL = f"print(create_payout({body()!r}, idempotency_key='order-1')['id'])"

    def test_gets_through_and_creates_one_payout(self, stack: Stack, run: Callable[..., list[str]]) -> None:
        troubles = ("request lost", "answer lost", "busy", "under way", "answer lost")
        with network(stack, *troubles) as (url, statuses):
            printed = run(python(f"{self.CALL}\n{self.CALL}"), url)

        first, second = printed
        assert first == second
        assert statuses == [201] * 4

    def test_does_not_repeat_what_is_refused(self, stack: Stack, run: Callable[..., list[str]]) -> None:
        with network(stack) as (url, statuses):
            printed = run(python("create_payout({}, idempotency_key='order-2')"), url, expect=1)

        assert printed[-1].startswith("ValueError: 400 {")
        assert "invalid_request" in printed[-1]
        assert statuses == [400]

    def test_gives_up_for_the_moment(self, stack: Stack, run: Callable[..., list[str]]) -> None:
        with network(stack, *["busy"] * 8) as (url, statuses):
            printed = run(python(self.CALL), url, expect=1)

        assert printed[-1] == ("TimeoutError: Keep the key order-1 and try again later. The last answer: 503 {}")
        assert statuses == []

    def test_takes_every_spelling_of_retry_after(self, stack: Stack, run: Callable[..., list[str]]) -> None:
        with network(stack, "busy until a date") as (url, statuses):
            run(python(self.CALL), url)

        assert statuses == [201]

    def test_runs_as_it_stands(self, stack: Stack, run: Callable[..., list[str]]) -> None:
        with network(stack) as (url, _):
            (printed,) = run([sys.executable, "-c", PYTHON], url)

        assert "'status': 'pending'" in printed


class TestShell:
    def test_gets_through_and_creates_one_payout(self, stack: Stack, run: Callable[..., list[str]]) -> None:
        with network(stack, "request lost", "answer lost", "busy", "under way") as (url, statuses):
            first, second = run(["sh", "-c", SHELL], url), run(["sh", "-c", SHELL], url)

        (payout,) = first
        assert json.loads(payout)["status"] == "pending"
        assert second == first
        assert statuses == [201] * 3

    def test_shows_no_answer_of_before_when_nobody_answers(self, stack: Stack, run: Callable[..., list[str]]) -> None:
        with network(stack) as (url, _):
            assert len(run(["sh", "-c", SHELL], url)) == 1

        # Nobody listens there any more.
        assert run(["sh", "-c", SHELL], url) == []
