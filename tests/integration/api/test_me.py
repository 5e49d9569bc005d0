from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts import services
from accounts.models import Merchant, MerchantAPIKey
from accounts.views import MeSerializer
from tests.support import answers, factories


class TestMe:
    def test_tells_the_merchant_and_the_key(self, acme: Merchant) -> None:
        expires_at = timezone.now() + timedelta(days=1)
        api_key, secret = services.issue_api_key(
            acme,
            name="web shop",
            mode="live",
            scopes=["payouts:write", "payouts:read"],
            expires_at=expires_at,
            allowed_networks=["127.0.0.0/8"],
        )

        response = factories.client_with(secret).get("/api/me/")

        assert response.status_code == 200
        assert response.json() == {
            "merchant": {"id": str(acme.id), "name": "acme", "require_idempotency_key": False},
            "api_key": {
                "prefix": api_key.prefix,
                "name": "web shop",
                "mode": "live",
                "scopes": ["payouts:read", "payouts:write"],
                "expires_at": expires_at.isoformat().replace("+00:00", "Z"),
                "allowed_networks": ["127.0.0.0/8"],
            },
        }
        assert secret.partition(".")[2] not in response.content.decode()
        # As the serializer writes it, which describes the answer in the schema.
        plain = MerchantAPIKey.objects.get(pk=api_key.pk)
        assert response.json() == MeSerializer({"merchant": acme, "api_key": plain}).data

    @pytest.mark.parametrize("scope", ["payouts:read", "payouts:write", "reports:read"])
    def test_needs_no_particular_scope(self, acme: Merchant, scope: str) -> None:
        assert factories.client_of(acme, scopes=[scope]).get("/api/me/").status_code == 200

    def test_is_of_the_merchant_who_asks(self, api: Client, globex_api: Client) -> None:
        names = [client.get("/api/me/").json()["merchant"]["name"] for client in (api, globex_api)]

        assert names == ["acme", "globex"]

    def test_requires_api_key(self, client: Client, db: None) -> None:
        assert answers.code(client.get("/api/me/")) == (401, "api_key_missing")

    def test_refuses_every_parameter(self, api: Client) -> None:
        response = api.get("/api/me/?mode=live")

        assert answers.field_errors(response) == [("mode", "unknown_parameter")]

    def test_knows_get_alone(self, api: Client) -> None:
        response = api.post("/api/me/", {}, content_type="application/json")

        assert answers.code(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "GET, HEAD"
