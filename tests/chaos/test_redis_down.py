"""The broker costs time and never a payout: stopped, frozen, and back again."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from devstack.processes import ports
from devstack.servers import redis
from tests.support.backend import body, client_of, wait_for
from tests.support.stack import Stack

# What a merchant may wait for the answer to a POST, whatever the broker does.
POST_SECONDS = 1.0


class Broker:
    """A Redis of the test's own: the stack would end with one of its own processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = ports.free()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        options = ["--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._directory)]
        self._process = subprocess.Popen([str(redis.find_binary()), *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, "Redis did not start."
            time.sleep(0.02)

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        with closing(socket.socket()) as client:
            return client.connect_ex(("127.0.0.1", self._port)) == 0

    def _send(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    started = Broker(tmp_path)
    started.start()
    yield started
    started.stop()


@pytest.mark.timeout(90)
def test_redis_stopped_and_frozen(broker: Broker, make_stack: Callable[..., Stack]) -> None:
    """One story, for a stack takes seconds to start: well, frozen, stopped, back."""
    stack = make_stack(CELERY_BROKER_URL=broker.url)
    stack.start()
    acme = client_of(stack, "acme")

    def post() -> tuple[float, str]:
        started = time.monotonic()
        answer = acme.post("/api/payouts/", json=body())
        assert answer.status_code == 201
        return time.monotonic() - started, answer.headers["Location"]

    def readiness() -> tuple[int, str]:
        answer = httpx.get(f"{stack.base_url}/readyz")
        return answer.status_code, answer.json()["status"]

    _, well = post()
    assert wait_for(acme, well, "paid")["status"] == "paid"
    assert readiness() == (200, "ok")

    broker.freeze()
    # The first meets connections that were good a moment ago, the second finds them given up.
    frozen = [post(), post()]
    frozen_readiness = readiness()
    assert [wait_for(acme, location, "paid")["status"] for _, location in frozen] == ["paid", "paid"]
    broker.thaw()

    broker.stop()
    stopped = [post(), post()]
    stopped_readiness = readiness()
    assert [wait_for(acme, location, "paid")["status"] for _, location in stopped] == ["paid", "paid"]

    broker.start()
    _, back = post()
    assert wait_for(acme, back, "paid")["status"] == "paid"

    assert [seconds < POST_SECONDS for seconds, _ in [*frozen, *stopped]] == [True] * 4
    assert (frozen_readiness, stopped_readiness) == ((200, "degraded"), (200, "degraded"))
    assert readiness() == (200, "ok")
    assert stack.launcher.poll() is None, stack.output
    acme.close()
