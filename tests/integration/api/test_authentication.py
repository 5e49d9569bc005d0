from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import services
from accounts.models import Merchant, MerchantAPIKey
from tests.support import answers, factories

ME = "/api/me/"


def me(secret: str, **extra: Any) -> Any:
    return Client(headers={"authorization": f"Api-Key {secret}"}).get(ME, **extra)


def wrong(secret: str) -> str:
    """Return a well-formed key with the prefix of this one and another secret."""
    return secret[:-1] + ("a" if secret[-1] != "a" else "b")


@pytest.fixture
def issued(acme: Merchant) -> tuple[MerchantAPIKey, str]:
    return services.issue_api_key(acme, name="test")


class TestAuthentication:
    @pytest.mark.parametrize("scheme", ["Api-Key", "api-key", "API-KEY"])
    def test_lets_a_key_in(self, issued: tuple[MerchantAPIKey, str], scheme: str) -> None:
        assert Client(headers={"authorization": f"{scheme} {issued[1]}"}).get(ME).status_code == 200

    def test_refuses_missing_key(self, client: Client, db: None) -> None:
        response = client.get(ME)

        assert answers.code(response) == (401, "api_key_missing")
        assert response.headers["WWW-Authenticate"] == "Api-Key"

    @pytest.mark.parametrize(
        "header",
        [
            "Api-Key",
            "Api-Key ",
            "Bearer {secret}",
            "{secret}",
            "Api-Key{secret}",
            "Api-Key: {secret}",
            "Api-Key {secret} {secret}",
            "Api-Key {secret},Api-Key {secret}",
            "Api-Key {secret}x",
            "Api-Key abc.def",
            "Api-Key ........................................",
            "Api-Key ﹖",
            "Basic Og==",
        ],
    )
    def test_refuses_malformed_key_without_asking_the_database(
        self, issued: tuple[MerchantAPIKey, str], header: str
    ) -> None:
        client = Client(headers={"authorization": header.format(secret=issued[1])})

        with CaptureQueriesContext(connection) as queries:
            response = client.get(ME)

        assert answers.code(response) == (401, "api_key_invalid")
        assert "Api-Key <prefix>.<secret>" in response.json()["detail"]
        assert len(queries) == 0

    def test_refuses_unknown_key(self, db: None) -> None:
        assert answers.code(me("abcdefgh." + "x" * 32)) == (401, "api_key_invalid")

    def test_refuses_wrong_secret(self, issued: tuple[MerchantAPIKey, str]) -> None:
        assert answers.code(me(wrong(issued[1]))) == (401, "api_key_invalid")

    def test_refuses_secret_of_another_key(self, acme: Merchant) -> None:
        first, second = [services.issue_api_key(acme, name="test")[1] for _ in range(2)]

        assert answers.code(me(f"{first[:8]}.{second[9:]}")) == (401, "api_key_invalid")

    def test_refuses_key_in_the_query_or_the_body(self, issued: tuple[MerchantAPIKey, str]) -> None:
        response = Client().get(f"/api/payouts/?api_key={issued[1]}")

        assert answers.code(response) == (401, "api_key_missing")

    def test_refuses_revoked_key_at_once(self, issued: tuple[MerchantAPIKey, str]) -> None:
        api_key, secret = issued
        before = me(secret).status_code

        services.revoke_api_key(api_key)

        assert before == 200
        assert answers.code(me(secret)) == (401, "api_key_revoked")

    def test_refuses_expired_key(self, issued: tuple[MerchantAPIKey, str]) -> None:
        api_key, secret = issued
        MerchantAPIKey.objects.filter(pk=api_key.pk).update(expiry_date=timezone.now())

        assert answers.code(me(secret)) == (401, "api_key_expired")

    def test_lets_a_key_in_until_it_expires(self, acme: Merchant) -> None:
        _, secret = services.issue_api_key(acme, name="test", expires_at=timezone.now() + timedelta(minutes=1))

        assert me(secret).status_code == 200

    def test_refuses_key_of_suspended_merchant(self, initech: Merchant) -> None:
        _, secret = services.issue_api_key(initech, name="test")

        assert answers.code(me(secret)) == (403, "merchant_suspended")

    @pytest.mark.parametrize("state", ["revoked", "expired", "suspended", "network"])
    def test_tells_the_reason_to_nobody_without_the_secret(self, acme: Merchant, state: str) -> None:
        networks = ["203.0.113.0/24"] if state == "network" else []
        api_key, secret = services.issue_api_key(acme, name="test", allowed_networks=networks)
        if state == "revoked":
            services.revoke_api_key(api_key)
        elif state == "expired":
            MerchantAPIKey.objects.filter(pk=api_key.pk).update(expiry_date=timezone.now())
        elif state == "suspended":
            Merchant.objects.filter(pk=acme.pk).update(is_active=False)

        told, guessed = me(secret), me(wrong(secret))

        assert told.status_code in {401, 403}
        assert told.json()["code"] != "api_key_invalid"
        assert answers.code(guessed) == (401, "api_key_invalid")
        unknown = me("abcdefgh." + "x" * 32)
        assert guessed.json()["detail"] == unknown.json()["detail"]

    def test_comes_before_everything_else(self, db: None) -> None:
        client = factories.client_with("abcdefgh." + "x" * 32)

        malformed = client.post("/api/payouts/?x=1", "{", content_type="text/plain", headers={"Idempotency-Key": ","})
        unknown_method = client.put("/api/payouts/")

        assert answers.code(malformed) == (401, "api_key_invalid")
        assert answers.code(unknown_method) == (401, "api_key_invalid")

    def test_asks_the_database_once(self, issued: tuple[MerchantAPIKey, str]) -> None:
        me(issued[1])

        with CaptureQueriesContext(connection) as queries:
            me(issued[1])

        (query,) = [query["sql"] for query in queries]
        assert "WHERE api_key.prefix = " in query
        assert "JOIN accounts_merchant " in query


class TestAllowedNetworks:
    @pytest.fixture
    def secret(self, acme: Merchant) -> str:
        networks = ["203.0.113.0/24", "198.51.100.7", "2001:db8::/32"]
        return services.issue_api_key(acme, name="test", allowed_networks=networks)[1]

    @pytest.mark.parametrize(
        "address",
        ["203.0.113.0", "203.0.113.255", "198.51.100.7", "2001:db8::1", "2001:DB8:0::0", "::ffff:203.0.113.9"],
    )
    def test_let_a_caller_in(self, secret: str, address: str) -> None:
        assert me(secret, REMOTE_ADDR=address).status_code == 200

    @pytest.mark.parametrize("address", ["203.0.114.0", "198.51.100.8", "2001:db9::1", "::1", "", "unix:", "x"])
    def test_keep_a_caller_out(self, secret: str, address: str) -> None:
        assert answers.code(me(secret, REMOTE_ADDR=address)) == (403, "network_not_allowed")

    def test_let_everybody_in_where_there_are_none(self, issued: tuple[MerchantAPIKey, str]) -> None:
        assert me(issued[1], REMOTE_ADDR="").status_code == 200

    @pytest.mark.parametrize(
        ("proxies", "forwarded", "status"),
        [
            # Without a proxy the header is the caller's own word.
            (0, "203.0.113.9", 403),
            (1, "203.0.113.9", 200),
            (1, " 203.0.113.9 ", 200),
            # What stands left of the proxy's own entry was written by the caller.
            (1, "203.0.113.9, 192.0.2.1", 403),
            (1, "192.0.2.1, 203.0.113.9", 200),
            (2, "203.0.113.9, 10.0.0.1", 200),
            (2, "192.0.2.1, 203.0.113.9, 10.0.0.1", 200),
            (2, "203.0.113.9, 192.0.2.1, 10.0.0.1", 403),
            # Fewer entries than proxies: the request did not come through them.
            (2, "203.0.113.9", 403),
            (1, "", 403),
            (1, ",", 403),
            # Proxies that write the port of the caller too, as those of Azure do.
            (1, "203.0.113.9:4711", 200),
            (1, "203.0.114.9:4711", 403),
            (1, "[2001:db8::1]:443", 200),
            (1, "[2001:db8::1]", 200),
            (1, '"[2001:db8::1]:443"', 200),
            (1, "[2001:db9::1]:443", 403),
            (2, "203.0.113.9:4711, [2001:db8::9]:443", 200),
            (1, "unknown", 403),
            (1, "203.0.113.9:", 403),
            (1, "203.0.113.9:99999999", 403),
            (1, "[203.0.113.9", 403),
            (1, "203.0.113.9 203.0.113.9", 403),
        ],
    )
    def test_look_behind_as_many_proxies_as_are_trusted(
        self, secret: str, settings: Any, proxies: int, forwarded: str, status: int
    ) -> None:
        settings.TRUSTED_PROXIES = proxies

        response = me(secret, REMOTE_ADDR="10.0.0.2", HTTP_X_FORWARDED_FOR=forwarded)

        assert response.status_code == status

    def test_do_not_look_at_forwarded(self, secret: str, settings: Any) -> None:
        settings.TRUSTED_PROXIES = 1

        response = me(secret, REMOTE_ADDR="10.0.0.2", HTTP_FORWARDED="for=203.0.113.9")

        assert answers.code(response) == (403, "network_not_allowed")


class TestLastUsedAt:
    def test_is_written_at_most_once_a_minute(self, issued: tuple[MerchantAPIKey, str]) -> None:
        api_key, secret = issued
        before = timezone.now()
        me(secret)
        api_key.refresh_from_db()
        first = api_key.last_used_at
        me(secret)
        api_key.refresh_from_db()

        assert first is not None
        assert before <= first <= timezone.now()
        assert api_key.last_used_at == first

    def test_is_written_again_after_a_minute(self, issued: tuple[MerchantAPIKey, str]) -> None:
        api_key, secret = issued
        long_ago = timezone.now() - timedelta(seconds=61)
        MerchantAPIKey.objects.filter(pk=api_key.pk).update(last_used_at=long_ago)

        me(secret)

        api_key.refresh_from_db()
        assert api_key.last_used_at is not None
        assert api_key.last_used_at - long_ago > timedelta(seconds=60)

    def test_is_not_written_for_a_key_that_is_refused(self, issued: tuple[MerchantAPIKey, str]) -> None:
        api_key, secret = issued
        me(wrong(secret))
        services.revoke_api_key(api_key)
        me(secret)

        api_key.refresh_from_db()
        assert api_key.last_used_at is None
