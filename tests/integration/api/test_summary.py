from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from django.test import Client

from accounts.models import Merchant
from payouts.models import Payout
from tests import factories
from tests.integration.api import answers

URL = "/api/payouts/summary/"

MakePayout = Callable[..., Payout]


class TestSummary:
    def test_counts_and_sums_by_status_and_currency(
        self, api: Client, make_payout: MakePayout, make_processed_payout: MakePayout
    ) -> None:
        make_payout(amount=Decimal("0.10"))
        make_payout(amount=Decimal("0.20"))
        make_payout(amount=Decimal(1500), currency="JPY")
        make_payout(amount=Decimal("1.234"), currency="KWD")
        make_processed_payout(amount=Decimal("999999999999.99"))
        make_processed_payout(amount=Decimal("999999999999.99"))

        response = api.get(URL)

        assert response.status_code == 200
        assert response.json() == {
            "results": [
                {"status": "paid", "currency": "EUR", "count": 2, "amount": "1999999999999.98"},
                {"status": "pending", "currency": "EUR", "count": 2, "amount": "0.30"},
                {"status": "pending", "currency": "JPY", "count": 1, "amount": "1500"},
                {"status": "pending", "currency": "KWD", "count": 1, "amount": "1.234"},
            ]
        }

    def test_is_empty_at_first(self, api: Client) -> None:
        assert api.get(URL).json() == {"results": []}

    # What it takes and refuses as a filter is in test_list_payouts_filters.py, which asks both.
    def test_takes_the_filters_of_the_list(self, api: Client, make_payout: MakePayout) -> None:
        make_payout(reference="order-1")
        make_payout()

        response = api.get(URL, {"reference": "order-1"})

        assert [row["count"] for row in response.json()["results"]] == [1]

    def test_leaves_deleted_payouts_out(self, api: Client, make_payout: MakePayout) -> None:
        api.delete(f"/api/payouts/{make_payout().id}/")

        assert api.get(URL).json() == {"results": []}

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        make_payout()

        assert globex_api.get(URL).json() == {"results": []}

    def test_hides_payout_of_the_other_mode(self, acme: Merchant, make_payout: MakePayout) -> None:
        make_payout()

        assert factories.client_of(acme, mode="live").get(URL).json() == {"results": []}

    def test_requires_api_key(self, client: Client, db: None) -> None:
        assert answers.code(client.get(URL)) == (401, "api_key_missing")
