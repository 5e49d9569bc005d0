from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import errors, services
from accounts.models import Merchant, MerchantAPIKey, Mode
from tests.support import factories, racing

EVERY_SCOPE = ["payouts:read", "payouts:write", "reports:read"]


def who_am_i(secret: str) -> int:
    """Return the status with which the API greets this key."""
    return factories.client_with(secret).get("/api/me/").status_code


@pytest.mark.django_db
class TestCreateMerchant:
    def test_creates_an_active_merchant(self) -> None:
        created = services.create_merchant("  Hooli ")

        merchant = Merchant.objects.get()
        assert merchant.pk == created.pk
        assert (merchant.name, merchant.is_active, merchant.require_idempotency_key) == ("Hooli", True, False)

    def test_may_require_an_idempotency_key(self) -> None:
        assert services.create_merchant("hooli", require_idempotency_key=True).require_idempotency_key is True

    @pytest.mark.parametrize("name", ["acme", "ACME", " Acme "])
    def test_refuses_a_name_that_is_taken(self, acme: Merchant, name: str) -> None:
        with pytest.raises(errors.MerchantExists, match="There is a merchant named"):
            services.create_merchant(name)

        # The caller's transaction is still good.
        assert Merchant.objects.count() == 1

    @pytest.mark.parametrize(
        "name", ["", "   ", "a" * 101, "a\x00b", "a\nb", "a\tb", "a\x7fb", "a\x9bb", "a\u202eb", "\u200b"]
    )
    def test_refuses_a_name_that_nobody_could_read(self, name: str) -> None:
        with pytest.raises(ValidationError):
            services.create_merchant(name)

        assert Merchant.objects.count() == 0

    def test_takes_a_name_of_any_script(self) -> None:
        assert services.create_merchant("Müller & Söhne 株式会社").name == "Müller & Söhne 株式会社"

    def test_the_database_refuses_a_second_of_the_name(self, acme: Merchant) -> None:
        with pytest.raises(IntegrityError, match="merchant_name_unique"), transaction.atomic():
            Merchant.objects.create(name="AcMe")


@pytest.mark.django_db(transaction=True)
def test_of_many_who_create_one_name_one_succeeds() -> None:
    results = racing.run_together(*[lambda: services.create_merchant("hooli")] * 6)

    assert sum(isinstance(result, Merchant) for result in results) == 1
    assert sum(isinstance(result, errors.MerchantExists) for result in results) == 5


@pytest.mark.django_db
class TestGetMerchant:
    def test_finds_by_id_and_by_name(self, acme: Merchant, globex: Merchant) -> None:
        assert services.get_merchant(str(acme.id)) == acme
        assert services.get_merchant("acme") == acme
        assert services.get_merchant("ACME") == acme

    @pytest.mark.parametrize("name", ["hooli", "018f0000-0000-7000-8000-000000000000", "", "acm%"])
    def test_says_how_to_make_one(self, acme: Merchant, name: str) -> None:
        with pytest.raises(errors.MerchantNotFound, match=r"Create one with: manage\.py create_merchant NAME"):
            services.get_merchant(name)


@pytest.mark.django_db
class TestIssueAPIKey:
    def test_issues_a_test_key_with_every_scope(self, acme: Merchant) -> None:
        api_key, secret = services.issue_api_key(acme, name="backend")

        stored = MerchantAPIKey.objects.get()
        assert stored.pk == api_key.pk
        assert (stored.merchant, stored.name, stored.mode, stored.scopes) == (acme, "backend", "test", EVERY_SCOPE)
        assert (stored.expiry_date, stored.allowed_networks, stored.revoked) == (None, [], False)
        assert secret.startswith(f"{stored.prefix}.")
        assert who_am_i(secret) == 200

    def test_keeps_the_secret_nowhere(self, acme: Merchant, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)

        api_key, secret = services.issue_api_key(acme, name="backend")

        hidden = secret.split(".")[1]
        row = MerchantAPIKey.objects.values().get()
        assert hidden not in str(row)
        assert hidden not in str([record.__dict__ for record in caplog.records])
        # The hash is no secret, but the primary key ends in addresses and logs.
        assert api_key.hashed_key not in str(api_key.pk)
        issued = [record for record in caplog.records if record.message == "key.issued"]
        assert [record.__dict__["prefix"] for record in issued] == [api_key.prefix]

    def test_does_what_is_asked(self, acme: Merchant) -> None:
        expires_at = timezone.now() + timedelta(days=1)

        api_key, _ = services.issue_api_key(
            acme,
            name="n",
            mode=Mode.LIVE,
            scopes=["payouts:write", "payouts:read", "payouts:read"],
            expires_at=expires_at,
            allowed_networks=["203.0.113.0/24", "2001:db8::1"],
        )

        api_key.refresh_from_db()
        assert (api_key.mode, api_key.scopes) == ("live", ["payouts:read", "payouts:write"])
        assert api_key.expiry_date == expires_at
        assert api_key.allowed_networks == ["203.0.113.0/24", "2001:db8::1"]

    @pytest.mark.parametrize(
        "fields",
        [
            {"mode": "sandbox"},
            {"scopes": ["payouts:delete"]},
            {"scopes": []},
            {"allowed_networks": ["203.0.113.1/24"]},
            {"allowed_networks": ["home"]},
            {"expires_at": timezone.now() - timedelta(seconds=1)},
            {"name": "n" * 51},
            {"name": ""},
            {"name": " "},
            {"name": "\u3164"},
            {"name": "a\u2028b"},
            {"name": "a\ud800"},
        ],
    )
    def test_refuses_what_makes_no_sense(self, acme: Merchant, fields: dict[str, Any]) -> None:
        with pytest.raises(errors.APIKeyRequestInvalid):
            services.issue_api_key(acme, **{"name": "n", **fields})

        assert MerchantAPIKey.objects.count() == 0

    def test_no_two_keys_are_alike(self, acme: Merchant) -> None:
        secrets = {services.issue_api_key(acme, name="n")[1] for _ in range(5)}

        assert len(secrets) == 5


@pytest.mark.django_db
class TestRotateAPIKey:
    def test_both_are_valid_during_the_overlap(self, acme: Merchant) -> None:
        old, old_secret = services.issue_api_key(
            acme, name="n", mode=Mode.LIVE, scopes=["payouts:read"], allowed_networks=["127.0.0.0/8"]
        )

        new, new_secret = services.rotate_api_key(old, overlap=timedelta(hours=1))

        assert [who_am_i(old_secret), who_am_i(new_secret)] == [200, 200]
        assert (new.merchant, new.name, new.mode, new.scopes, new.allowed_networks, new.expiry_date) == (
            acme,
            "n",
            "live",
            ["payouts:read"],
            ["127.0.0.0/8"],
            None,
        )
        old.refresh_from_db()
        assert old.expiry_date is not None
        assert timedelta(minutes=59) < old.expiry_date - timezone.now() <= timedelta(hours=1)

    def test_without_overlap_the_old_one_ends_at_once(self, acme: Merchant) -> None:
        old, old_secret = services.issue_api_key(acme, name="n")

        _, new_secret = services.rotate_api_key(old, overlap=timedelta(0))

        assert [who_am_i(old_secret), who_am_i(new_secret)] == [401, 200]

    def test_never_lengthens_the_life_of_the_old_one(self, acme: Merchant) -> None:
        ends_at = timezone.now() + timedelta(minutes=1)
        old, _ = services.issue_api_key(acme, name="n", expires_at=ends_at)

        services.rotate_api_key(old, overlap=timedelta(days=7))

        old.refresh_from_db()
        assert old.expiry_date == ends_at

    def test_keeps_a_name_that_is_refused_for_new_keys(self, acme_key: MerchantAPIKey) -> None:
        MerchantAPIKey.objects.update(name="two\nlines")

        new, _ = services.rotate_api_key(acme_key, overlap=timedelta(0))

        assert new.name == "two\nlines"

    def test_a_revoked_key_has_no_successor(self, acme_key: MerchantAPIKey) -> None:
        services.revoke_api_key(acme_key)

        with pytest.raises(errors.APIKeyRevoked), transaction.atomic():
            services.rotate_api_key(acme_key, overlap=timedelta(hours=1))

        assert MerchantAPIKey.objects.count() == 1


@pytest.mark.django_db
class TestRevokeAPIKey:
    def test_takes_effect_at_once(self, acme: Merchant, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        api_key, secret = services.issue_api_key(acme, name="n")
        assert who_am_i(secret) == 200

        was_valid = services.revoke_api_key(api_key)

        assert was_valid is True
        assert who_am_i(secret) == 401
        api_key.refresh_from_db()
        assert api_key.revoked is True
        assert api_key.revoked_at is not None
        assert caplog.messages.count("key.revoked") == 1

    def test_again_changes_nothing(self, acme_key: MerchantAPIKey, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        services.revoke_api_key(acme_key)
        acme_key.refresh_from_db()
        revoked_at = acme_key.revoked_at

        was_valid = services.revoke_api_key(acme_key)

        acme_key.refresh_from_db()
        assert was_valid is False
        assert acme_key.revoked_at == revoked_at
        assert caplog.messages.count("key.revoked") == 1

    def test_leaves_the_other_keys(self, acme: Merchant) -> None:
        api_key, _ = services.issue_api_key(acme, name="n")
        _, other_secret = services.issue_api_key(acme, name="n")

        services.revoke_api_key(api_key)

        assert who_am_i(other_secret) == 200
