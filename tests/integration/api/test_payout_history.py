from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from accounts.models import Merchant, MerchantAPIKey
from payouts.models import Payout
from tests.support import answers, factories

MakePayout = Callable[..., Payout]


class TestPayoutHistory:
    def test_tells_each_change_and_each_attempt(
        self, api: Client, acme_key: MerchantAPIKey, make_processed_payout: MakePayout
    ) -> None:
        payout = make_processed_payout("sandbox_rejected_account_closed")

        response = api.get(f"/api/payouts/{payout.id}/history/")

        assert response.status_code == 200
        body = response.json()
        times = [row.pop("created_at") for row in body["transitions"]]
        assert times == sorted(times)
        assert body["transitions"] == [
            {
                "from_status": "",
                "to_status": "pending",
                "actor": f"merchant:{acme_key.prefix}",
                "reason": "created",
            },
            {"from_status": "pending", "to_status": "processing", "actor": "worker", "reason": "claimed"},
            {
                "from_status": "processing",
                "to_status": "failed",
                "actor": "worker",
                "reason": "provider: rejected, account_closed: The recipient's account is closed.",
            },
        ]
        (attempt,) = body["attempts"]
        assert attempt.pop("started_at") <= attempt.pop("finished_at")
        assert attempt == {
            "number": 1,
            "kind": "send",
            "outcome": "rejected",
            "code": "account_closed",
            "message": "The recipient's account is closed.",
        }

    def test_begins_with_the_creation(self, api: Client, make_payout: MakePayout) -> None:
        body = api.get(f"/api/payouts/{make_payout().id}/history/").json()

        assert [row["to_status"] for row in body["transitions"]] == ["pending"]
        assert body["attempts"] == []

    def test_is_of_this_payout_alone(self, api: Client, make_processed_payout: MakePayout) -> None:
        make_processed_payout()
        payout = make_processed_payout()

        body = api.get(f"/api/payouts/{payout.id}/history/").json()

        assert (len(body["transitions"]), len(body["attempts"])) == (3, 1)

    def test_refuses_every_parameter(self, api: Client, make_payout: MakePayout) -> None:
        response = api.get(f"/api/payouts/{make_payout().id}/history/?page_size=5")

        assert answers.field_errors(response) == [("page_size", "unknown_parameter")]

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        response = globex_api.get(f"/api/payouts/{make_payout().id}/history/")

        assert answers.code(response) == (404, "not_found")

    def test_hides_payout_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        response = factories.client_of(acme, mode="live").get(f"/api/payouts/{make_payout().id}/history/")

        assert answers.code(response) == (404, "not_found")

    def test_requires_api_key(self, client: Client, make_payout: MakePayout) -> None:
        response = client.get(f"/api/payouts/{make_payout().id}/history/")

        assert answers.code(response) == (401, "api_key_missing")
