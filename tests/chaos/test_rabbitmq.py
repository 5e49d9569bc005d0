"""RabbitMQ as the broker: nothing depends on Redis. It is heard, and it costs time and never a payout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from payouts.engine.sweep import ENQUEUED_RECENTLY
from tests.chaos.crashing_servers import wait_until
from tests.chaos.rabbitmq import RabbitMQ, running_rabbitmq
from tests.support.backend import body, client_of, wait_for
from tests.support.stack import STOP_SECONDS, Stack, wait_until_gone

# What a merchant may wait for the answer to a POST, whatever the broker does; half a second of it is for a machine that
# is busy.
POST_SECONDS = 1.5


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[RabbitMQ]:
    directory = tmp_path / "rabbitmq"
    directory.mkdir()
    with running_rabbitmq(directory) as server:
        yield server


class Merchant:
    """acme, and how long the platform took for what it asked for."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.base_url
        self._http = client_of(stack, "acme")

    def post(self) -> tuple[float, str]:
        """Ask for a payout; return the seconds until the answer, and the payout's address."""
        started = time.monotonic()
        answer = self._http.post("/api/payouts/", json=body())
        assert answer.status_code == 201
        return time.monotonic() - started, answer.headers["Location"]

    def sees_paid(self, location: str) -> bool:
        return bool(wait_for(self._http, location, "paid")["status"] == "paid")

    def is_paid_by_a_worker(self) -> bool:
        """Ask for a payout; say whether it is paid before the sweeper would look for it: somebody heard the ring."""
        started = time.monotonic()
        _, location = self.post()
        return self.sees_paid(location) and time.monotonic() - started < ENQUEUED_RECENTLY.total_seconds()

    def broker(self) -> tuple[int, str]:
        """Return what an orchestrator is told."""
        answer = httpx.get(f"{self._url}/readyz", trust_env=False)
        return answer.status_code, answer.json()["checks"]["broker"]

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def stack(rabbitmq: RabbitMQ, make_stack: Callable[..., Stack]) -> Stack:
    started = make_stack(CELERY_BROKER_URL=rabbitmq.url)
    started.start()
    return started


@pytest.fixture
def acme(stack: Stack) -> Iterator[Merchant]:
    merchant = Merchant(stack)
    yield merchant
    merchant.close()


def wait_for_worker(rabbitmq: RabbitMQ) -> None:
    wait_until(lambda: rabbitmq.consumers("payouts") == 1, what="the worker listens again")


@pytest.mark.timeout(180)
def test_rabbitmq_frozen_and_stopped(rabbitmq: RabbitMQ, stack: Stack, acme: Merchant) -> None:
    """One story, for a stack and a RabbitMQ take seconds to start: well, frozen, well, killed, back, stopped."""
    processes = stack.everything()
    wait_for_worker(rabbitmq)
    assert acme.is_paid_by_a_worker()
    assert acme.broker() == (200, "ok")

    rabbitmq.freeze()
    # The first meets connections that were good a moment ago, the second finds them given up.
    frozen = [acme.post(), acme.post()]
    told_frozen = acme.broker()
    assert [acme.sees_paid(location) for _, location in frozen] == [True, True]
    rabbitmq.thaw()
    wait_for_worker(rabbitmq)
    assert acme.is_paid_by_a_worker()

    rabbitmq.stop()
    stopped = [acme.post(), acme.post()]
    told_stopped = acme.broker()
    assert [acme.sees_paid(location) for _, location in stopped] == [True, True]
    rabbitmq.start()
    wait_for_worker(rabbitmq)
    assert acme.is_paid_by_a_worker()

    assert [seconds < POST_SECONDS for seconds, _ in [*frozen, *stopped]] == [True] * 4
    assert (told_frozen, told_stopped, acme.broker()) == ((200, "degraded"), (200, "degraded"), (200, "ok"))

    # Nobody is held up by a broker when it is time to go.
    began = time.monotonic()
    assert stack.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS
    assert wait_until_gone(processes, seconds=0.5) == []
