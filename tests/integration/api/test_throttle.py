"""Against the real Redis of the environment, and against ports where none is."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts import throttles
from accounts.models import Merchant
from payouts.models import Payout
from tests.support import answers, factories

ME = "/api/me/"


@pytest.fixture(autouse=True)
def _limit_of_three(settings: Any) -> Iterator[None]:
    # Only where a Redis is given would there be anything to test.
    assert django_settings.CELERY_BROKER_URL.startswith("redis://")
    settings.THROTTLE_REDIS_URL = django_settings.CELERY_BROKER_URL
    settings.THROTTLE_REQUESTS_PER_MINUTE = 3
    _wait_for_a_whole_window()
    throttles.APIKeyThrottle._redis_left_alone_until = 0.0
    yield
    throttles.APIKeyThrottle._redis_left_alone_until = 0.0
    throttles._client.cache_clear()


def _wait_for_a_whole_window() -> None:
    """A window that ends in the middle of a test would begin to count anew."""
    left = throttles.WINDOW_SECONDS - time.time() % throttles.WINDOW_SECONDS
    if left < 2:
        time.sleep(left)


class TestThrottle:
    def test_refuses_what_is_over_the_limit(self, api: Client) -> None:
        statuses = [api.get(ME).status_code for _ in range(3)]
        refused = api.get(ME)

        assert statuses == [200, 200, 200]
        assert answers.code(refused) == (429, "too_many_requests")
        seconds = int(refused.headers["Retry-After"])
        assert 1 <= seconds <= 60
        assert refused.headers["RateLimit-Limit"] == "3"
        assert refused.headers["RateLimit-Remaining"] == "0"
        assert refused.headers["RateLimit-Reset"] == str(seconds)

    def test_creates_nothing_over_the_limit_and_counts_replays(self, api: Client) -> None:
        for _ in range(3):
            assert factories.post_payout(api, key="order-1").status_code == 201

        assert answers.code(factories.post_payout(api, key="order-1")) == (429, "too_many_requests")
        assert answers.code(factories.post_payout(api, key="order-2")) == (429, "too_many_requests")
        assert Payout.objects.count() == 1

    def test_counts_each_key_by_itself(self, acme: Merchant, globex_api: Client) -> None:
        first, second = factories.client_of(acme), factories.client_of(acme)
        for _ in range(4):
            first.get(ME)

        assert [client.get(ME).status_code for client in (first, second, globex_api)] == [429, 200, 200]

    def test_does_not_count_strangers(self, client: Client, db: None) -> None:
        assert [client.get(ME).status_code for _ in range(5)] == [401] * 5

    def test_is_off_without_a_limit(self, api: Client, settings: Any) -> None:
        settings.THROTTLE_REQUESTS_PER_MINUTE = 0

        assert [api.get(ME).status_code for _ in range(5)] == [200] * 5

    def test_is_off_without_redis(self, api: Client, settings: Any) -> None:
        settings.THROTTLE_REDIS_URL = ""

        assert [api.get(ME).status_code for _ in range(5)] == [200] * 5


class TestRedisAway:
    @pytest.fixture
    def closed_port(self) -> int:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            return int(listener.getsockname()[1])

    @pytest.fixture
    def silent_port(self) -> Iterator[int]:
        """Connections are taken, and nothing is ever said."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            yield int(listener.getsockname()[1])

    def test_lets_requests_through_when_nobody_listens(self, api: Client, settings: Any, closed_port: int) -> None:
        settings.THROTTLE_REDIS_URL = f"redis://127.0.0.1:{closed_port}/0"
        started_at = time.monotonic()

        statuses = [api.get(ME).status_code for _ in range(5)]

        assert statuses == [200] * 5
        assert time.monotonic() - started_at < 1.0

    def test_lets_requests_through_when_nobody_answers(self, api: Client, settings: Any, silent_port: int) -> None:
        settings.THROTTLE_REDIS_URL = f"redis://127.0.0.1:{silent_port}/0"
        started_at = time.monotonic()

        statuses = [api.get(ME).status_code for _ in range(5)]

        # One of the five waited a tenth of a second; the others did not ask.
        assert statuses == [200] * 5
        assert time.monotonic() - started_at < 1.0

    def test_counts_again_soon_after(self, api: Client, settings: Any, closed_port: int) -> None:
        settings.THROTTLE_REDIS_URL = f"redis://127.0.0.1:{closed_port}/0"
        api.get(ME)
        left_alone_seconds = throttles.APIKeyThrottle._redis_left_alone_until - time.monotonic()

        settings.THROTTLE_REDIS_URL = django_settings.CELERY_BROKER_URL
        throttles.APIKeyThrottle._redis_left_alone_until = time.monotonic()

        assert 0 < left_alone_seconds <= throttles.RETRY_REDIS_AFTER_SECONDS
        assert [api.get(ME).status_code for _ in range(4)] == [200, 200, 200, 429]
