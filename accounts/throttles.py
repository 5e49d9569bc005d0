"""The limit of requests a minute for one API key.

The count is in Redis and fails open: the limit protects the platform from a runaway client, and an outage of Redis
must not stop payouts. After a failure Redis is not asked for a while, so that an outage does not slow each request.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

if TYPE_CHECKING:
    # REST framework reads this class from its settings while that module is being imported.
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60

# Redis on the same network answers in under a millisecond. A Redis that takes 100 is unhealthy.
REDIS_TIMEOUT_SECONDS = 0.1

# Pause after a failure: long enough that an outage costs little, short enough that the limit is soon back.
RETRY_REDIS_AFTER_SECONDS = 5.0


class APIKeyThrottle(BaseThrottle):
    """A fixed window of one minute for each API key (PAYOUTS_THROTTLE_REQUESTS_PER_MINUTE)."""

    _redis_left_alone_until: float = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        del view
        limit = settings.THROTTLE_REQUESTS_PER_MINUTE
        if not limit or not settings.THROTTLE_REDIS_URL or request.auth is None:
            return True
        return self._count(request.auth.prefix) <= limit

    def wait(self) -> float:
        """Return the seconds until the window ends and the next request is let through."""
        return WINDOW_SECONDS - time.time() % WINDOW_SECONDS

    @classmethod
    def _count(cls, prefix: str) -> int:
        """Count this request. Return the count of this window, or 0 if Redis fails."""
        if time.monotonic() < cls._redis_left_alone_until:
            return 0
        name = f"payouts:throttle:{prefix}:{int(time.time()) // WINDOW_SECONDS}"
        try:
            with _client(settings.THROTTLE_REDIS_URL).pipeline(transaction=False) as pipeline:
                pipeline.incr(name)
                pipeline.expire(name, WINDOW_SECONDS)
                count, _ = pipeline.execute()
        except redis.RedisError as error:
            cls._redis_left_alone_until = time.monotonic() + RETRY_REDIS_AFTER_SECONDS
            logger.warning("throttle.unavailable", extra={"error": type(error).__name__})
            return 0
        return int(count)


@lru_cache(maxsize=1)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
