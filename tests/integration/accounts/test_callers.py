"""The hand-written statement says of a caller what the models say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import callers, services
from accounts.models import Merchant, MerchantAPIKey, Mode, Scope

COLUMNS = (
    "id", "prefix", "hashed_key", "name", "mode", "scopes", "allowed_networks", "expiry_date", "revoked",
    "last_used_at", "merchant_id",
)  # fmt: skip
COLUMNS_OF_MERCHANT = ("id", "name", "is_active", "require_idempotency_key", "is_authenticated")
ADDRESSES = ("203.0.113.7", "::ffff:203.0.113.7", "198.51.100.1", "2001:db8::1", "", "nonsense")


def keys_of_all_kinds(merchant: Merchant) -> list[MerchantAPIKey]:
    """Return keys that differ in each column."""
    now = timezone.now()
    issued = [
        services.issue_api_key(merchant, name="plain")[0],
        services.issue_api_key(merchant, name="live", mode=Mode.LIVE, scopes=[Scope.PAYOUTS_READ])[0],
        services.issue_api_key(merchant, name="nets", allowed_networks=["203.0.113.0/24", "2001:db8::/32"])[0],
        services.issue_api_key(merchant, name="ends", expires_at=now + timedelta(minutes=1))[0],
    ]
    services.revoke_api_key(issued[0])
    MerchantAPIKey.objects.filter(pk=issued[1].pk).update(last_used_at=now)
    return [MerchantAPIKey.objects.select_related("merchant").get(pk=api_key.pk) for api_key in issued]


class TestFind:
    @pytest.mark.parametrize("changes", [{}, {"is_active": False}, {"require_idempotency_key": True}])
    def test_says_what_the_models_say(self, acme: Merchant, changes: dict[str, bool]) -> None:
        Merchant.objects.filter(pk=acme.pk).update(**changes)
        now = timezone.now()

        for plain in keys_of_all_kinds(acme):
            found = callers.find(plain.prefix)

            assert found is not None
            assert [getattr(found, name) for name in COLUMNS] == [getattr(plain, name) for name in COLUMNS]
            assert [getattr(found.merchant, name) for name in COLUMNS_OF_MERCHANT] == [
                getattr(plain.merchant, name) for name in COLUMNS_OF_MERCHANT
            ]
            for moment in (now, now + timedelta(minutes=2)):
                assert found.expired_at(moment) == plain.expired_at(moment)
            assert [found.allows_address(text) for text in ADDRESSES] == [
                plain.allows_address(text) for text in ADDRESSES
            ]

    def test_finds_nothing_for_another_prefix(self, acme: Merchant) -> None:
        services.issue_api_key(acme, name="plain")

        assert callers.find("abcdefgh") is None
