"""RabbitMQ instead of Redis, as a web process sees it. tests/chaos/test_rabbitmq.py has a real one."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from django.test import Client

from payouts import dispatch
from tests.integration.config import scripted_rabbitmq as rabbitmq
from tests.integration.config.scripted_rabbitmq import scripted_rabbitmq
from tests.support.doorbell import forget_connections

# What a web process may spend on a broker that is not well, and half a second more for a machine that is busy.
PATIENCE_SECONDS = 1.5

MOMENTS = {
    "connecting": rabbitmq.CONNECTION_START,
    "logging in": rabbitmq.CONNECTION_START_OK,
    "opening the connection": rabbitmq.CONNECTION_OPEN,
    "opening a channel": rabbitmq.CHANNEL_OPEN,
    "declaring the queue": rabbitmq.QUEUE_DECLARE,
    "asking for confirmations": rabbitmq.CONFIRM_SELECT,
    "publishing": rabbitmq.BASIC_PUBLISH,
}


@pytest.fixture
def point_broker_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Point Celery to another broker, as CELERY_BROKER_URL does at start."""

    def point(url: str) -> None:
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        forget_connections()

    yield point
    monkeypatch.undo()
    forget_connections()


def ring() -> tuple[bool, bool]:
    """Ring once; return whether it was heard, and whether that was known soon enough."""
    started = time.monotonic()
    heard = dispatch.send_payouts([uuid.uuid4()])
    return heard, time.monotonic() - started < PATIENCE_SECONDS


class TestRing:
    def test_is_heard(self, point_broker_to: Callable[[str], None]) -> None:
        with scripted_rabbitmq() as server:
            point_broker_to(server.url)

            assert [ring(), ring()] == [(True, True), (True, True)]

        # One connection and one channel for both.
        assert server.heard.count(rabbitmq.CHANNEL_OPEN) == 1
        assert server.heard.count(rabbitmq.BASIC_PUBLISH) == 2

    def test_is_not_heard_where_nobody_listens(self, point_broker_to: Callable[[str], None]) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        point_broker_to(f"amqp://127.0.0.1:{port}//")

        assert ring() == (False, True)

    @pytest.mark.parametrize("silent_at", MOMENTS.values(), ids=MOMENTS)
    def test_is_not_heard_in_silence(self, point_broker_to: Callable[[str], None], silent_at: rabbitmq.Method) -> None:
        with scripted_rabbitmq(silent_at) as server:
            point_broker_to(server.url)

            assert [ring(), ring()] == [(False, True), (False, True)]

    def test_is_not_heard_by_one_that_falls_silent_between_two(self, point_broker_to: Callable[[str], None]) -> None:
        with scripted_rabbitmq() as server:
            point_broker_to(server.url)
            before = ring()

            server.silent_at = rabbitmq.BASIC_PUBLISH

            assert [before, ring()] == [(True, True), (False, True)]

    def test_is_not_heard_on_a_connection_that_a_restart_has_closed(
        self, point_broker_to: Callable[[str], None]
    ) -> None:
        with scripted_rabbitmq() as server:
            point_broker_to(server.url)
            before = ring()

            server.drop_connections()

            # The one that finds out is lost and says so; the sweeper rings for its payout.
            assert [before, ring(), ring()] == [(True, True), (False, True), (True, True)]


@pytest.mark.django_db
class TestReadyz:
    @pytest.mark.parametrize(("silent_at", "broker"), [(None, "ok"), (rabbitmq.CONNECTION_START, "degraded")])
    def test_looks_at_it(self, client: Client, settings: Any, silent_at: rabbitmq.Method | None, broker: str) -> None:
        with scripted_rabbitmq(silent_at) as server:
            settings.CELERY_BROKER_URL = server.url
            started = time.monotonic()

            response = client.get("/readyz")

        assert (response.status_code, response.json()["checks"]["broker"]) == (200, broker)
        # An orchestrator that gets no answer within a second takes the process out of service.
        assert time.monotonic() - started < 0.9
