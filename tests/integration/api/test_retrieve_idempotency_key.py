from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client

from accounts.models import Merchant
from idempotency import retention
from payouts.models import Payout
from tests.support import answers, factories
from tests.support.retention import AT_ONCE


def get_key(client: Client, key: str, query: str = "") -> Any:
    return client.get(f"/api/idempotency-keys/{quote(key, safe='')}/{query}")


class TestRetrieveIdempotencyKey:
    def test_tells_what_the_key_was_used_for(self, api: Client) -> None:
        payout = factories.post_payout(api, key="order-1").json()

        response = get_key(api, "order-1")

        assert response.status_code == 200
        assert response.json() == {
            "key": "order-1",
            "mode": "test",
            "request": {"method": "POST", "path": "/api/payouts/"},
            "resource": {"type": "payout", "id": payout["id"]},
            "response_status": 201,
            "response_purged_at": None,
            "created_at": response.json()["created_at"],
        }
        # A statement of the same request, just after the one whose time the payout has.
        seen, created = (datetime.fromisoformat(body["created_at"]) for body in (response.json(), payout))
        assert timedelta(0) <= seen - created < timedelta(seconds=5)

    def test_tells_of_a_cancel(self, api: Client) -> None:
        payout = factories.post_payout(api).json()
        path = f"/api/payouts/{payout['id']}/cancel/"
        api.post(path, content_type="application/json", headers={"Idempotency-Key": "cancel-1"})

        body = get_key(api, "cancel-1").json()

        assert body["request"] == {"method": "POST", "path": path}
        assert (body["resource"]["id"], body["response_status"]) == (payout["id"], 200)

    def test_tells_since_when_the_answer_is_gone(self, api: Client) -> None:
        payout = factories.post_payout(api, key="order-1").json()
        retention.purge_responses(older_than=AT_ONCE)

        body = get_key(api, "order-1").json()

        assert body["response_purged_at"] >= body["created_at"]
        assert (body["resource"]["id"], body["response_status"]) == (payout["id"], 201)

    @pytest.mark.parametrize(
        ("header", "address"),
        [
            ("order-1", '"order-1"'),
            ('"order-1"', "order-1"),
            ('"a b"', "a b"),
            ('"a b"', '"a b"'),
            ("a/b//", "a/b//"),
            ("/", "/"),
            ("100%", "100%"),
            ("a?b#c&d=e+f", "a?b#c&d=e+f"),
            (r'"\""', '"'),
            ("k" * 255, "k" * 255),
        ],
    )
    def test_finds_the_key_however_it_is_written(self, api: Client, header: str, address: str) -> None:
        payout = factories.post_payout(api, key=header).json()

        response = get_key(api, address)

        assert (response.status_code, response.json()["key"]) == (200, payout["idempotency_key"])

    @pytest.mark.parametrize("key", ["order-2", "order", "ORDER-1", "order-1 "])
    def test_does_not_know_another_key(self, api: Client, key: str) -> None:
        factories.post_payout(api, key="order-1")

        response = get_key(api, key)

        assert answers.code(response) == (404, "not_found")

    @pytest.mark.parametrize("key", ["k" * 256, "caf\u00e9", "\x00", "\x7f"])
    def test_refuses_what_can_be_no_key(self, api: Client, key: str) -> None:
        response = get_key(api, key)

        assert answers.code(response) == (400, "idempotency_key_malformed")
        assert answers.field_errors(response) == [("key", "idempotency_key_malformed")]

    def test_does_not_know_a_key_that_was_left_free(self, api: Client) -> None:
        factories.post_payout(api, factories.payout_body(amount="0"), key="order-1")

        response = get_key(api, "order-1")

        assert answers.code(response) == (404, "not_found")
        assert "may still be under way" in response.json()["detail"]

    def test_hides_keys_of_other_merchants_and_of_the_other_mode(
        self, api: Client, acme: Merchant, globex_api: Client
    ) -> None:
        factories.post_payout(api, key="order-1")

        for stranger in (globex_api, factories.client_of(acme, mode="live")):
            assert answers.code(get_key(stranger, "order-1")) == (404, "not_found")

    def test_tells_each_merchant_of_its_own(self, api: Client, globex_api: Client) -> None:
        ids = [factories.post_payout(client, key="order-1").json()["id"] for client in (api, globex_api)]

        assert [get_key(client, "order-1").json()["resource"]["id"] for client in (api, globex_api)] == ids

    def test_knows_every_api_key_of_the_merchant(self, api: Client, acme: Merchant) -> None:
        factories.post_payout(api, key="order-1")

        assert get_key(factories.client_of(acme), "order-1").status_code == 200

    def test_tells_of_a_payout_that_was_deleted(self, api: Client) -> None:
        location = factories.post_payout(api, key="order-1").headers["Location"]
        api.delete(location)

        assert get_key(api, "order-1").json()["resource"]["id"] == str(Payout.objects.get().id)

    def test_refuses_every_parameter(self, api: Client) -> None:
        response = get_key(api, "order-1", "?mode=live")

        assert answers.field_errors(response) == [("mode", "unknown_parameter")]

    def test_requires_api_key(self, client: Client, db: None) -> None:
        assert answers.code(get_key(client, "order-1")) == (401, "api_key_missing")

    def test_knows_get_alone(self, api: Client) -> None:
        response = api.delete("/api/idempotency-keys/order-1/")

        assert answers.code(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "GET, HEAD"
