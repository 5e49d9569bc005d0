from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant
from payouts.models import Payout
from tests.support import answers, factories

MakePayout = Callable[..., Payout]


class TestRetrievePayout:
    def test_shows_the_payout_as_it_is_now(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout("sandbox_rejected_account_closed", reference="order-1")

        response = api.get(f"/api/payouts/{payout.id}/")

        assert response.status_code == 200
        assert response.json() == {
            "id": str(payout.id),
            "status": "failed",
            "mode": "test",
            "amount": "10.50",
            "currency": "EUR",
            "recipient_details": {"name": "Jane Doe", "account": "sandbox_rejected_account_closed"},
            "comment": "",
            "reference": "order-1",
            "metadata": {},
            "idempotency_key": None,
            "failure_code": "account_closed",
            "failure_message": "The recipient's account is closed.",
            "waiting_reason": "",
            "created_at": payout.created_at.isoformat().replace("+00:00", "Z"),
            "updated_at": payout.updated_at.isoformat().replace("+00:00", "Z"),
            "provider": "sandbox",
            "provider_reference": "",
            "completed_at": payout.updated_at.isoformat().replace("+00:00", "Z"),
            "expires_at": None,
        }
        # Created, claimed, settled.
        assert re.fullmatch(r'"3-[0-9a-f]{16}"', response.headers["ETag"])

    def test_says_the_same_as_the_answer_that_created_it(self, api: Client) -> None:
        created = factories.post_payout(api)

        assert api.get(created.headers["Location"]).json() == created.json()

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        response = globex_api.get(f"/api/payouts/{make_payout().id}/")

        assert answers.code(response) == (404, "not_found")

    def test_hides_payout_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        response = factories.client_of(acme, mode="live").get(f"/api/payouts/{make_payout().id}/")

        assert answers.code(response) == (404, "not_found")

    def test_says_the_same_of_a_strangers_payout_as_of_none(self, globex_api: Client, make_payout: MakePayout) -> None:
        strangers, none = [
            globex_api.get(f"/api/payouts/{payout_id}/").json() for payout_id in (make_payout().id, uuid.uuid4())
        ]

        for body in (strangers, none):
            del body["instance"], body["request_id"]
        assert strangers == none

    def test_requires_api_key(self, client: Client, make_payout: MakePayout) -> None:
        response = client.get(f"/api/payouts/{make_payout().id}/")

        assert answers.code(response) == (401, "api_key_missing")

    @pytest.mark.parametrize(
        "payout_id",
        [
            "1",
            "x",
            "null",
            "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9",
            "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9g",
            "%7B01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f%7D",
            "%00",
            "%ED%A0%80",
            "%FF",
            "..",
            "%2e%2e%2f",
            "' OR 1=1 --",
            "9" * 5000,
        ],
    )
    @pytest.mark.parametrize("action", ["", "cancel/", "history/"])
    def test_answers_malformed_id_with_404(self, api: Client, payout_id: str, action: str) -> None:
        path = f"/api/payouts/{payout_id}/{action}"

        for response in (api.get(path), api.post(path), api.patch(path), api.delete(path)):
            assert answers.code(response) == (404, "not_found")
            assert response.headers["Content-Type"] == "application/problem+json"

    def test_refuses_every_parameter(self, api: Client, make_payout: MakePayout) -> None:
        response: Any = api.get(f"/api/payouts/{make_payout().id}/?expand=attempts")

        assert answers.field_errors(response) == [("expand", "unknown_parameter")]

    def test_answers_head(self, api: Client, make_payout: MakePayout) -> None:
        url = f"/api/payouts/{make_payout().id}/"

        response = api.head(url)

        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["ETag"] == api.get(url).headers["ETag"]
