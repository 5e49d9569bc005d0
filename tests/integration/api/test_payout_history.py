from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import Merchant, MerchantAPIKey
from payouts.models import Payout, PayoutAttempt
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

    @pytest.mark.parametrize(
        ("query", "error"),
        [
            ("status=paid", ("status", "unknown_parameter")),
            ("page_size=0", ("page_size", "invalid")),
            ("page_size=201", ("page_size", "invalid")),
            ("page_size=ten", ("page_size", "invalid")),
            ("page_size=5&page_size=6", ("page_size", "repeated_parameter")),
            ("cursor=", ("cursor", "blank")),
            ("cursor=WzFd", ("cursor", "invalid_cursor")),
        ],
    )
    def test_refuses_what_it_does_not_understand(
        self, api: Client, make_payout: MakePayout, query: str, error: tuple[str, str]
    ) -> None:
        response = api.get(f"/api/payouts/{make_payout().id}/history/?{query}")

        assert answers.field_errors(response) == [error]

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        response = globex_api.get(f"/api/payouts/{make_payout().id}/history/")

        assert answers.code(response) == (404, "not_found")

    def test_hides_payout_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        response = factories.client_of(acme, mode="live").get(f"/api/payouts/{make_payout().id}/history/")

        assert answers.code(response) == (404, "not_found")

    def test_requires_api_key(self, client: Client, make_payout: MakePayout) -> None:
        response = client.get(f"/api/payouts/{make_payout().id}/history/")

        assert answers.code(response) == (401, "api_key_missing")


def ask_often(payout: Payout, times: int) -> None:
    """Add so many questions to the send that was made."""
    PayoutAttempt.objects.bulk_create(
        PayoutAttempt(payout=payout, number=number, kind="ask", outcome="unknown") for number in range(2, times + 2)
    )


class TestPages:
    def test_go_through_both_lists_together(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout()
        ask_often(payout, 6)
        url: str | None = f"/api/payouts/{payout.id}/history/?page_size=2"
        pages = []
        while url is not None:
            pages.append(api.get(url).json())
            url = pages[-1]["next"]

        assert [[row["to_status"] for row in page["transitions"]] for page in pages] == [
            ["pending", "processing"],
            ["paid"],
            [],
            [],
        ]
        assert [[row["number"] for row in page["attempts"]] for page in pages] == [[1, 2], [3, 4], [5, 6], [7]]
        assert pages[0]["previous"] is None

    def test_go_back_the_same_way(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout()
        ask_often(payout, 6)
        first = api.get(f"/api/payouts/{payout.id}/history/?page_size=3").json()
        second = api.get(first["next"]).json()

        # What has been added meanwhile moves nothing.
        PayoutAttempt.objects.create(payout=payout, number=8, kind="ask", outcome="unknown")

        assert {**api.get(second["previous"]).json(), "next": ""} == {**first, "next": ""}
        assert [row["number"] for row in second["attempts"]] == [4, 5, 6]

    def test_have_fifty_of_each_unasked(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout()
        ask_often(payout, 50)

        page = api.get(f"/api/payouts/{payout.id}/history/").json()

        assert (len(page["transitions"]), len(page["attempts"])) == (3, 50)
        assert [row["number"] for row in api.get(page["next"]).json()["attempts"]] == [51]

    def test_are_of_one_payout(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout, other = make_processed_payout(), make_processed_payout()
        link = api.get(f"/api/payouts/{payout.id}/history/?page_size=1").json()["next"]

        response = api.get(link.replace(str(payout.id), str(other.id)))

        assert answers.field_errors(response) == [("cursor", "cursor_mismatch")]
