"""Token buckets in Redis: a request costs a token, and each process takes tokens in portions.

A round trip to Redis for each request would cost more than the rest of the check. So a process takes a portion from the
buckets and spends it by itself. What a process holds is missing for the others, so the limit is exact to a portion for
each process. A bucket holds the tokens of a minute and fills evenly: there is no edge of a minute at which two minutes'
worth could be spent.

Redis fails open: the limit protects the platform from a runaway client, and an outage of Redis must not stop payouts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

#: A hundredth of a minute's limit: few round trips, and a limit that is exact enough. A small limit is exact.
PORTIONS_A_MINUTE: Final = 100
_MINUTE_MS: Final = 60_000

# Redis on the same network answers in under a millisecond. Connecting and asking together take at most 50.
REDIS_TIMEOUT_SECONDS: Final = 0.025

# Pause after a failure: long enough that an outage costs little, short enough that the limit is soon back.
RETRY_REDIS_AFTER_SECONDS: Final = 5.0

# Takes up to ARGV[1] tokens from all buckets, as many as the emptiest has, and returns their number. If that is none,
# it returns the milliseconds until the next token as well. The clock is that of Redis, because processes run on several
# machines. A bucket that is full need not be kept.
_TAKE: Final = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local taken, wait, left = tonumber(ARGV[1]), 0, {{}}
for i, name in ipairs(KEYS) do
    local limit = tonumber(ARGV[i + 1])
    local kept = redis.call('HMGET', name, 'tokens', 'at')
    local tokens = tonumber(kept[1] or limit) + (now - tonumber(kept[2] or now)) * limit / {_MINUTE_MS}
    left[i] = math.min(limit, tokens)
    taken = math.min(taken, math.floor(left[i]))
    wait = math.max(wait, math.ceil((1 - left[i]) * {_MINUTE_MS} / limit))
end
if taken < 1 then return {{0, wait}} end
for i, name in ipairs(KEYS) do
    redis.call('HSET', name, 'tokens', tostring(left[i] - taken), 'at', now)
    redis.call('PEXPIRE', name, {_MINUTE_MS})
end
return {{taken, 0}}
"""


@dataclass(frozen=True)
class Bucket:
    """A bucket by its name, with the requests a minute that it allows."""

    name: str
    per_minute: int


@dataclass
class _Portion:
    """Tokens that this process holds; without any, the time before which there are none to take."""

    tokens: int = 0
    none_before: float = 0.0


class Buckets:
    """The buckets of one Redis, and the tokens that this process has taken from them."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._portions: dict[tuple[Bucket, ...], _Portion] = {}
        self._left_alone_until = 0.0

    def spend(self, *buckets: Bucket) -> float:
        """Spend a token of all the buckets. Return 0, or the seconds until there is one."""
        now = self._clock()
        with self._lock:
            portion = self._portions.setdefault(buckets, _Portion())
            if portion.tokens > 0:
                portion.tokens -= 1
                return 0.0
            if now < portion.none_before:
                return portion.none_before - now
            if now < self._left_alone_until:
                return 0.0
        return self._take(buckets, now)

    def _take(self, buckets: Sequence[Bucket], now: float) -> float:
        """Take a portion and spend one of it. The lock is open meanwhile: several threads may take one each."""
        wanted = max(1, min(bucket.per_minute for bucket in buckets) // PORTIONS_A_MINUTE)
        names = [f"payouts:tokens:{bucket.name}" for bucket in buckets]
        try:
            taken, wait_ms = self._redis.eval(_TAKE, len(names), *names, wanted, *(b.per_minute for b in buckets))
        except redis.RedisError as error:
            self._left_alone_until = now + RETRY_REDIS_AFTER_SECONDS
            logger.warning("throttle.unavailable", extra={"error": type(error).__name__})
            return 0.0
        with self._lock:
            portion = self._portions[tuple(buckets)]
            portion.tokens += max(0, taken - 1)
            portion.none_before = now + wait_ms / 1000
        return float(wait_ms / 1000)


@lru_cache(maxsize=1)
def of(url: str) -> Buckets:
    """Return the buckets of this Redis."""
    return Buckets(url)
