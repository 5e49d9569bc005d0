"""The limits of requests a minute: of an API key, and of a merchant with all its keys in a mode together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts import buckets
from accounts.buckets import Bucket
from accounts.callers import CallingKey

if TYPE_CHECKING:
    # REST framework reads this class from its settings while that module is being imported.
    from rest_framework.views import APIView


class APIKeyThrottle(BaseThrottle):
    """Refuses what is over PAYOUTS_THROTTLE_REQUESTS_PER_MINUTE or PAYOUTS_THROTTLE_MERCHANT_REQUESTS_PER_MINUTE."""

    #: Seconds until the next request is let through.
    _wait_seconds = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        del view
        if not settings.THROTTLE_REDIS_URL or request.auth is None:
            return True
        limits = _limits(request.auth)  # type: ignore[arg-type] # The stubs know only tokens.
        if limits:
            self._wait_seconds = buckets.of(settings.THROTTLE_REDIS_URL).spend(*limits)
        return not self._wait_seconds

    def wait(self) -> float:
        """Return the seconds until the next request is let through."""
        return self._wait_seconds


def _limits(api_key: CallingKey) -> list[Bucket]:
    of_key, of_merchant = settings.THROTTLE_REQUESTS_PER_MINUTE, settings.THROTTLE_MERCHANT_REQUESTS_PER_MINUTE
    limits = [Bucket(f"key:{api_key.prefix}", of_key)] if of_key else []
    if of_merchant:
        limits.append(Bucket(f"merchant:{api_key.merchant_id}:{api_key.mode}", of_merchant))
    return limits
