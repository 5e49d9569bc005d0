from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant, MerchantAPIKey
from idempotency.models import IdempotencyRecord
from payouts.models import Payout, PayoutTransition
from tests.support import answers, factories

#: Every field that a merchant may send.
WHOLE_BODY = {
    "amount": "10.5",
    "currency": "EUR",
    "recipient_details": {
        "name": "Jane Doe",
        "account": "DE89370400440532013000",
        "bank_code": "COBADEFFXXX",
        "country": "DE",
        "address": "1 High Street, Berlin",
    },
    "comment": "Refund of\norder 4711",
    "reference": "order-4711",
    "metadata": {"department": "returns", "empty": ""},
}


class TestCreatePayout:
    def test_creates_payout(self, api: Client, acme: Merchant) -> None:
        response = factories.post_payout(
            api,
            WHOLE_BODY,
            key="first",
        )

        assert response.status_code == 201
        payout = Payout.objects.get()
        assert response.json() == {
            "id": str(payout.id),
            "status": "pending",
            "mode": "test",
            **WHOLE_BODY,
            "amount": "10.50",
            "idempotency_key": "first",
            "failure_code": "",
            "failure_message": "",
            "waiting_reason": "",
            "created_at": payout.created_at.isoformat().replace("+00:00", "Z"),
            "updated_at": payout.updated_at.isoformat().replace("+00:00", "Z"),
            "provider": "sandbox",
            "provider_reference": "",
            "completed_at": None,
            "expires_at": None,
        }
        assert response.headers["Location"] == f"/api/payouts/{payout.id}/"
        assert response.headers["ETag"] == '"1"'
        assert response.headers["Content-Type"] == "application/json"
        assert "Idempotent-Replayed" not in response.headers
        assert (payout.merchant_id, payout.amount, payout.provider) == (acme.id, Decimal("10.5"), "sandbox")
        assert answers.rows_written() == {"payouts": 1, "transitions": 1, "attempts": 0, "idempotency_records": 1}

    def test_creates_payout_from_the_required_fields_alone(self, api: Client) -> None:
        response = factories.post_payout(api)

        body = response.json()
        assert response.status_code == 201
        assert (body["comment"], body["reference"], body["metadata"], body["idempotency_key"]) == ("", "", {}, None)
        assert IdempotencyRecord.objects.count() == 0

    def test_records_who_created_it(self, acme: Merchant) -> None:
        client = factories.client_of(acme)

        factories.post_payout(client)

        transition = PayoutTransition.objects.get()
        prefix = MerchantAPIKey.objects.get().prefix
        assert (transition.from_status, transition.to_status) == ("", "pending")
        assert (transition.actor, transition.reason) == (f"merchant:{prefix}", "created")

    def test_takes_null_for_an_optional_field_as_if_it_were_left_out(self, api: Client) -> None:
        recipient = {"name": "Jane Doe", "account": "sandbox_paid"}
        nulls = {"bank_code": None, "country": None, "address": None}
        body = factories.payout_body(
            recipient_details={**recipient, **nulls}, comment=None, reference=None, metadata=None
        )

        response = factories.post_payout(api, body)

        assert response.status_code == 201
        payout = response.json()
        assert payout["recipient_details"] == recipient
        assert (payout["comment"], payout["reference"], payout["metadata"]) == ("", "", {})

    @pytest.mark.parametrize(
        ("amount", "currency", "answered"),
        [
            ("0.01", "EUR", "0.01"),
            ("7", "EUR", "7.00"),
            ("1500", "JPY", "1500"),
            ("1.234", "KWD", "1.234"),
            ("999999999999.99", "EUR", "999999999999.99"),
        ],
    )
    def test_keeps_the_decimals_of_the_currency(self, api: Client, amount: str, currency: str, answered: str) -> None:
        response = factories.post_payout(api, factories.payout_body(amount=amount, currency=currency))

        assert response.status_code == 201
        assert response.json()["amount"] == answered
        assert Payout.objects.get().amount == Decimal(amount)

    @pytest.mark.parametrize(
        "fields",
        [
            {
                "recipient_details": {
                    "name": "n" * 140,
                    "account": "a" * 64,
                    "bank_code": "b" * 34,
                    "address": "d" * 255,
                }
            },
            {"comment": "c" * 500, "reference": "r" * 255},
            {"metadata": {f"{number:040}": "v" * 500 for number in range(50)}},
            {"recipient_details": {"name": "Zoë 王小明 🙂", "account": "x"}},
        ],
        ids=["recipient", "texts", "metadata", "any script"],
    )
    def test_takes_each_field_up_to_its_limit(self, api: Client, fields: dict[str, Any]) -> None:
        response = factories.post_payout(api, factories.payout_body(**fields))

        assert response.status_code == 201
        assert {name: response.json()[name] for name in fields} == fields

    def test_takes_everything_filled_in_to_its_limit(self, api: Client) -> None:
        body = factories.payout_body(
            recipient_details={"name": "n" * 140, "account": "a" * 64, "bank_code": "b" * 34, "address": "d" * 255},
            comment="c" * 500,
            reference="r" * 255,
            metadata={f"{number:040}": "v" * 500 for number in range(50)},
        )

        assert factories.post_payout(api, body).status_code == 201

    def test_takes_white_space_off_the_ends(self, api: Client) -> None:
        body = factories.payout_body(reference="  order 1 ", recipient_details={"name": " Jane ", "account": " X1 "})

        response = factories.post_payout(api, body)

        assert response.json()["reference"] == "order 1"
        assert response.json()["recipient_details"] == {"name": "Jane", "account": "X1"}

    @pytest.mark.parametrize(
        "account",
        [
            "DE89370400440532013000",
            "GB82 WEST 1234 5698 7654 32",
            # Sixteen digits that fail the Luhn check.
            "4111111111111112",
            # Twelve and twenty digits that pass it.
            "411111111112",
            "41111111111111111115",
            # Digits inside a longer word.
            "ACCT4111111111111111",
        ],
    )
    def test_takes_an_account_that_is_no_card_number(self, api: Client, account: str) -> None:
        body = factories.payout_body(recipient_details={"name": "Jane Doe", "account": account})

        assert factories.post_payout(api, body).status_code == 201

    def test_belongs_to_the_mode_of_the_key(self, acme: Merchant, settings: Any) -> None:
        settings.LIVE_PROVIDER = "sandbox"

        response = factories.post_payout(factories.client_of(acme, mode="live"))

        assert response.json()["mode"] == "live"
        assert Payout.objects.get().mode == "live"

    def test_refuses_live_payout_where_no_provider_is_configured(self, acme: Merchant) -> None:
        response = factories.post_payout(factories.client_of(acme, mode="live"), key="first")

        assert answers.code(response) == (503, "live_provider_missing")
        assert answers.rows_written() == answers.NOTHING

    def test_requires_api_key(self, client: Client, db: None) -> None:
        response = factories.post_payout(client, key="first")

        assert answers.code(response) == (401, "api_key_missing")
        assert answers.rows_written() == answers.NOTHING

    def test_is_not_to_be_cached(self, api: Client) -> None:
        assert factories.post_payout(api).headers["Cache-Control"] == "no-store"


class TestIdempotencyKey:
    def test_replays_the_answer(self, api: Client) -> None:
        first = factories.post_payout(api, key="order-1")
        again = factories.post_payout(api, key="order-1")

        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["ETag"] == first.headers["ETag"]
        assert answers.rows_written() == {"payouts": 1, "transitions": 1, "attempts": 0, "idempotency_records": 1}

    def test_takes_both_spellings_for_the_same_key(self, api: Client) -> None:
        first = factories.post_payout(api, key="order-1")
        again = factories.post_payout(api, key='"order-1"')

        assert again.json()["id"] == first.json()["id"]

    def test_refuses_another_request_with_the_key(self, api: Client) -> None:
        factories.post_payout(api, key="order-1")

        response = factories.post_payout(api, factories.payout_body(amount="10.51"), key="order-1")

        assert answers.code(response) == (422, "idempotency_key_reused")
        assert answers.rows_written() == {"payouts": 1, "transitions": 1, "attempts": 0, "idempotency_records": 1}

    def test_leaves_the_key_free_after_a_refusal(self, api: Client) -> None:
        refused = factories.post_payout(api, factories.payout_body(amount="0"), key="order-1")
        mended = factories.post_payout(api, key="order-1")

        assert (refused.status_code, mended.status_code) == (400, 201)
        assert "Idempotent-Replayed" not in mended.headers

    def test_keeps_the_keys_of_merchants_and_modes_apart(
        self, api: Client, globex_api: Client, acme: Merchant, settings: Any
    ) -> None:
        settings.LIVE_PROVIDER = "sandbox"
        clients = [api, globex_api, factories.client_of(acme, mode="live")]

        ids = {factories.post_payout(client, key="order-1").json()["id"] for client in clients}

        assert len(ids) == 3

    @pytest.mark.parametrize(
        "key",
        ["", " ", "a b", "a,b", 'a"b', "a\\b", '"open', '""', "k" * 256, '"' + "k" * 256 + '"', "kéy", "a\tb", "\x7f"],
    )
    def test_refuses_malformed_key(self, api: Client, key: str) -> None:
        response = factories.post_payout(api, key=key)

        assert answers.code(response) == (400, "idempotency_key_malformed")
        assert answers.field_errors(response) == [("Idempotency-Key", "idempotency_key_malformed")]
        assert answers.rows_written() == answers.NOTHING

    def test_is_required_of_a_merchant_that_asked_for_it(self, acme: Merchant) -> None:
        Merchant.objects.filter(pk=acme.pk).update(require_idempotency_key=True)
        client = factories.client_of(acme)

        response = factories.post_payout(client)

        assert answers.code(response) == (400, "idempotency_key_missing")
        assert answers.field_errors(response) == [("Idempotency-Key", "idempotency_key_missing")]
        assert answers.rows_written() == answers.NOTHING
        assert factories.post_payout(client, key="order-1").status_code == 201

    def test_does_not_show_the_answer_to_a_key_without_the_scope(self, acme: Merchant, api: Client) -> None:
        factories.post_payout(api, key="order-1")

        response = factories.post_payout(factories.client_of(acme, scopes=["payouts:read"]), key="order-1")

        assert answers.code(response) == (403, "scope_missing")


class TestDoorbell:
    def test_rings_once_after_the_commit(
        self, api: Client, django_capture_on_commit_callbacks: Callable[..., Any]
    ) -> None:
        with django_capture_on_commit_callbacks() as callbacks:
            response = factories.post_payout(api, key="order-1")
        with django_capture_on_commit_callbacks() as callbacks_of_replay:
            factories.post_payout(api, key="order-1")

        assert response.status_code == 201
        # The ring and the log line of the first transition.
        assert len(callbacks) == 2
        assert callbacks_of_replay == []
