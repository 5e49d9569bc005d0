from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant
from payouts.engine import processing
from payouts.models import Payout, PayoutAttempt, PayoutTransition
from tests.support import answers, factories

MakePayout = Callable[..., Payout]


def cancel(client: Client, payout: Payout, body: Any = "", query: str = "") -> Any:
    return client.post(f"/api/payouts/{payout.id}/cancel/{query}", body, content_type="application/json")


def status_of(payout: Payout) -> str:
    return Payout.objects.get(pk=payout.pk).status


class TestCancelPayout:
    def test_cancels_pending_payout(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        response = cancel(api, payout)

        assert response.status_code == 200
        assert response.json() == api.get(f"/api/payouts/{payout.id}/").json()
        assert response.json()["status"] == "canceled"
        assert response.headers["ETag"] == '"2"'
        last = PayoutTransition.objects.filter(payout=payout).latest("id")
        assert (last.from_status, last.to_status) == ("pending", "canceled")
        assert (last.actor[:9], last.reason) == ("merchant:", "canceled by the merchant")

    def test_answers_the_same_again(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        first, second = cancel(api, payout), cancel(api, payout)

        assert (second.status_code, second.json()) == (200, first.json())
        assert PayoutTransition.objects.filter(payout=payout).count() == 2

    def test_keeps_the_payout_from_being_sent(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        cancel(api, payout)

        processing.process(payout.id)

        assert status_of(payout) == "canceled"
        assert PayoutAttempt.objects.count() == 0

    @pytest.mark.parametrize(
        ("account", "status"),
        [
            ("sandbox_paid", "paid"),
            ("sandbox_accepted", "submitted"),
            ("sandbox_unknown", "unknown"),
            ("sandbox_rejected_account_closed", "failed"),
        ],
    )
    def test_refuses_every_other_status(
        self, api: Client, make_processed_payout: MakePayout, account: str, status: str
    ) -> None:
        payout = make_processed_payout(account)

        response = cancel(api, payout)

        assert payout.status == status
        assert answers.code(response) == (409, "payout_not_cancelable")
        assert response.json()["detail"].startswith(f"This payout is {status}.")
        assert status_of(payout) == status

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            ('{"reason": "mistake"}', ("reason", "unknown_field")),
            ("{", ("body", "malformed_json")),
            ("[]", ("body", "not_an_object")),
        ],
    )
    def test_refuses_body(self, api: Client, make_payout: MakePayout, body: str, error: tuple[str, str]) -> None:
        payout = make_payout()

        response = cancel(api, payout, body)

        assert answers.code(response) == (400, "invalid_request")
        assert answers.field_errors(response) == [error]
        assert status_of(payout) == "pending"

    def test_needs_no_content_type_where_there_is_no_body(self, api: Client, make_payout: MakePayout) -> None:
        response = api.generic("POST", f"/api/payouts/{make_payout().id}/cancel/", content_type="")

        assert response.status_code == 200

    def test_refuses_every_parameter(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        response = cancel(api, payout, query="?force=true")

        assert answers.field_errors(response) == [("force", "unknown_parameter")]
        assert status_of(payout) == "pending"

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        assert answers.code(cancel(globex_api, payout)) == (404, "not_found")
        assert status_of(payout) == "pending"

    def test_hides_payout_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        payout = make_payout()

        assert answers.code(cancel(factories.client_of(acme, mode="live"), payout)) == (404, "not_found")
        assert status_of(payout) == "pending"

    def test_finds_no_deleted_payout(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        api.delete(f"/api/payouts/{payout.id}/")

        assert answers.code(cancel(api, payout)) == (404, "not_found")

    def test_requires_api_key(self, client: Client, make_payout: MakePayout) -> None:
        payout = make_payout()

        assert answers.code(cancel(client, payout)) == (401, "api_key_missing")
        assert status_of(payout) == "pending"

    def test_knows_post_alone(self, api: Client, make_payout: MakePayout) -> None:
        response = api.get(f"/api/payouts/{make_payout().id}/cancel/")

        assert answers.code(response) == (405, "method_not_allowed")
        assert response.headers["Allow"] == "POST"
