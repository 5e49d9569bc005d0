"""Authentication by API key: the key and its merchant, in one query (accounts/callers.py).

The library's own `get_from_key` accepts an expired key, so each reason to refuse is checked here. Only a caller with
the right secret learns the reason. For all other callers the key is invalid.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, cast

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import addresses, callers, errors
from accounts.callers import CallingKey, CallingMerchant
from accounts.models import MerchantAPIKey

SCHEME = "Api-Key"

# Eight characters of prefix and 32 of secret, as the library generates them. Other text is not looked up.
API_KEY = re.compile(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}")

# Precise enough to find unused keys; one write a minute instead of one a request.
LAST_USED_PRECISION = timedelta(minutes=1)


class APIKeyAuthentication(BaseAuthentication):
    """`Authorization: Api-Key <prefix>.<secret>`; sets request.user to the merchant, request.auth to its key."""

    def authenticate(self, request: Request) -> tuple[CallingMerchant, CallingKey] | None:
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        api_key = _find(header)
        now = timezone.now()
        _refuse_unusable(api_key, now=now, address=client_address(request))
        _note_use(api_key, now=now)
        return api_key.merchant, api_key

    def authenticate_header(self, request: Request) -> str:
        del request
        return SCHEME


def _find(header: str) -> CallingKey:
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != SCHEME.lower() or not API_KEY.fullmatch(secret.strip()):
        raise errors.APIKeyInvalid("The Authorization header must read `Api-Key <prefix>.<secret>`.")
    secret = secret.strip()
    api_key = callers.find(secret[:8])
    if api_key is None or not MerchantAPIKey.objects.key_generator.verify(secret, api_key.hashed_key):
        raise errors.APIKeyInvalid
    return api_key


def _refuse_unusable(api_key: CallingKey, *, now: datetime, address: str) -> None:
    if api_key.revoked:
        raise errors.APIKeyRevoked
    if api_key.expired_at(now):
        raise errors.APIKeyExpired
    if not api_key.merchant.is_active:
        raise errors.MerchantSuspended
    if not api_key.allows_address(address):
        raise errors.NetworkNotAllowed


def _note_use(api_key: CallingKey, *, now: datetime) -> None:
    stale = now - LAST_USED_PRECISION
    if api_key.last_used_at is not None and api_key.last_used_at > stale:
        return
    # The same condition in SQL: of many concurrent requests only one writes.
    unused = Q(last_used_at__isnull=True) | Q(last_used_at__lte=stale)
    MerchantAPIKey.objects.filter(unused, pk=api_key.id).update(last_used_at=now)


def api_key_of(request: Request) -> CallingKey:
    """Return the API key of the request. HasScope refuses requests without one."""
    assert request.auth is not None
    return cast("CallingKey", request.auth)


class APIKeyMixin:
    """Gives a view the API key of its request."""

    request: Any  # REST framework's request, where Django's views declare an HttpRequest.

    @property
    def api_key(self) -> CallingKey:
        return api_key_of(self.request)


def client_address(request: Request) -> str:
    """Return the caller's network address in its plain form, or an empty text if it cannot be parsed.

    Each trusted proxy appends the address of its client to X-Forwarded-For. So with n trusted proxies
    (PAYOUTS_TRUSTED_PROXIES) the caller is the n-th from the right. The caller can forge everything to the left.
    `Forwarded` (RFC 7239) is not read: a proxy that does not support it forwards the caller's header.
    """
    forwarded = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    if settings.TRUSTED_PROXIES and len(forwarded) >= settings.TRUSTED_PROXIES:
        written = forwarded[-settings.TRUSTED_PROXIES]
    else:
        written = str(request.META.get("REMOTE_ADDR", ""))
    return str(addresses.parse(written) or "")
