"""Against the real Redis of the environment, and against ports where none is."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts import buckets
from accounts.buckets import Bucket, Buckets
from accounts.models import Merchant, Mode
from payouts.models import Payout
from tests.support import answers, factories

ME = "/api/me/"


@pytest.fixture(autouse=True)
def _limit_of_three(settings: Any) -> Iterator[None]:
    # Only where a Redis is given would there be anything to test.
    assert django_settings.CELERY_BROKER_URL.startswith("redis://")
    settings.THROTTLE_REDIS_URL = django_settings.CELERY_BROKER_URL
    settings.THROTTLE_REQUESTS_PER_MINUTE = 3
    buckets.of.cache_clear()
    yield
    buckets.of.cache_clear()


class TestThrottle:
    def test_refuses_what_is_over_the_limit(self, api: Client) -> None:
        statuses = [api.get(ME).status_code for _ in range(3)]
        refused = api.get(ME)

        assert statuses == [200, 200, 200]
        assert answers.code(refused) == (429, "too_many_requests")
        # The next of three tokens a minute comes within twenty seconds.
        seconds = int(refused.headers["Retry-After"])
        assert 1 <= seconds <= 20
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

    def test_counts_all_keys_of_a_merchant_and_mode_together(
        self, acme: Merchant, globex_api: Client, settings: Any
    ) -> None:
        settings.THROTTLE_MERCHANT_REQUESTS_PER_MINUTE = 4
        first, second = factories.client_of(acme), factories.client_of(acme)
        live = factories.client_of(acme, mode=Mode.LIVE)

        statuses = [client.get(ME).status_code for client in (first, first, second, second)]

        assert statuses == [200] * 4
        # Each has a token of its own left.
        assert [client.get(ME).status_code for client in (first, second, live, globex_api)] == [429, 429, 200, 200]

    def test_takes_nothing_from_the_merchant_for_a_key_that_is_refused(self, acme: Merchant, settings: Any) -> None:
        settings.THROTTLE_MERCHANT_REQUESTS_PER_MINUTE = 4
        first, second = factories.client_of(acme), factories.client_of(acme)

        statuses = [first.get(ME).status_code for _ in range(9)]

        assert statuses == [200] * 3 + [429] * 6
        assert [second.get(ME).status_code for _ in range(2)] == [200, 429]

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

        assert [api.get(ME).status_code for _ in range(5)] == [200] * 5

    def test_lets_requests_through_when_nobody_answers(self, api: Client, settings: Any, silent_port: int) -> None:
        settings.THROTTLE_REDIS_URL = f"redis://127.0.0.1:{silent_port}/0"
        started_at = time.monotonic()

        statuses = [api.get(ME).status_code for _ in range(5)]

        # One of the five waited for Redis; the others did not ask.
        assert statuses == [200] * 5
        assert time.monotonic() - started_at < 1.0

    def test_leaves_redis_alone_for_a_while(self, closed_port: int) -> None:
        now = 0.0
        taken = Buckets(f"redis://127.0.0.1:{closed_port}/0", clock=lambda: now)
        bucket = Bucket("a", 3)

        assert [taken.spend(bucket) for _ in range(4)] == [0.0] * 4
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", closed_port))
            listener.listen()
            listener.setblocking(False)
            now = buckets.RETRY_REDIS_AFTER_SECONDS - 0.01
            assert taken.spend(bucket) == 0.0
            with pytest.raises(BlockingIOError):
                listener.accept()
            now = buckets.RETRY_REDIS_AFTER_SECONDS
            assert taken.spend(bucket) == 0.0
            listener.accept()[0].close()


class TestBuckets:
    """Several processes with one Redis."""

    @pytest.fixture
    def name(self, request: pytest.FixtureRequest) -> str:
        return f"{request.node.name}:{time.time_ns()}"

    @pytest.fixture
    def processes(self) -> list[Buckets]:
        return [Buckets(django_settings.CELERY_BROKER_URL) for _ in range(2)]

    @staticmethod
    def spent(taken: Buckets, bucket: Bucket) -> int:
        """Spend until there is nothing left."""
        number = 0
        while not taken.spend(bucket):
            number += 1
        return number

    def test_two_processes_share_a_small_limit_exactly(self, processes: list[Buckets], name: str) -> None:
        bucket = Bucket(name, 5)
        first, second = processes

        assert [first.spend(bucket), first.spend(bucket), second.spend(bucket)] == [0.0] * 3
        assert [self.spent(taken, bucket) for taken in processes] == [2, 0]

    def test_two_processes_share_a_large_limit_to_a_portion(self, processes: list[Buckets], name: str) -> None:
        bucket = Bucket(name, 600)
        first, second = processes
        portion = 600 // buckets.PORTIONS_A_MINUTE
        assert second.spend(bucket) == 0.0

        # The other one holds the rest of its portion. Meanwhile the bucket fills: ten tokens a second.
        started_at = time.monotonic()
        spent = self.spent(first, bucket)
        filled = 10 * (time.monotonic() - started_at) + 1

        assert 600 - portion <= spent <= 600 - portion + filled
        assert [second.spend(bucket) for _ in range(portion - 1)] == [0.0] * (portion - 1)

    def test_fills_evenly(self, processes: list[Buckets], name: str) -> None:
        bucket = Bucket(name, 1200)
        self.spent(processes[0], bucket)

        # 50 ms for a token.
        wait = processes[1].spend(bucket)
        assert 0 < wait <= 0.05
        deadline = time.monotonic() + 5
        while processes[1].spend(bucket):
            assert time.monotonic() < deadline
            time.sleep(0.01)
