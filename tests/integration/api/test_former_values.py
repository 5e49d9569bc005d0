"""What an earlier version has taken and this one would refuse stays readable everywhere."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from payouts.engine import processing
from payouts.models import Payout
from tests.support import answers


@pytest.fixture
def payout(make_payout: Callable[..., Payout]) -> Payout:
    """A payout in Chilean units of account, to a country that is none."""
    details = {"name": "Jane Doe", "account": "sandbox_paid", "country": "UK"}
    return make_payout(currency="CLF", amount=Decimal("1.2345"), recipient_details=details)


def exported(api: Client, file_format: str) -> str:
    response: Any = api.get(f"/api/payouts/export/?format={file_format}")
    return b"".join(response.streaming_content).decode()


class TestPayoutInAFund:
    def test_is_shown(self, api: Client, payout: Payout) -> None:
        one = api.get(f"/api/payouts/{payout.pk}/").json()
        [listed] = api.get("/api/payouts/").json()["results"]

        assert (one["amount"], one["currency"], one["recipient_details"]["country"]) == ("1.2345", "CLF", "UK")
        assert (listed["amount"], listed["currency"], listed["recipient_details"]["country"]) == ("1.2345", "CLF", "UK")

    def test_is_summed(self, api: Client, payout: Payout) -> None:
        [total] = api.get("/api/payouts/summary/").json()["totals"]

        assert (total["currency"], total["count"], total["amount"], total["min"]) == ("CLF", 1, "1.2345", "1.2345")

    @pytest.mark.django_db(transaction=True)
    def test_is_exported(self, api: Client, payout: Payout) -> None:
        [row] = csv.DictReader(exported(api, "csv").splitlines())
        line, trailer = map(json.loads, exported(api, "ndjson").splitlines())

        assert (row["amount"], row["currency"], row["recipient_country"]) == ("1.2345", "CLF", "UK")
        assert (line["amount"], line["currency"], line["recipient_details"]["country"]) == ("1.2345", "CLF", "UK")
        assert trailer["trailer"]["amounts"] == {"CLF": "1.2345"}

    def test_can_be_changed_in_what_is_not_wrong(self, api: Client, payout: Payout) -> None:
        url = f"/api/payouts/{payout.pk}/"

        changed = api.patch(url, {"comment": "c"}, content_type="application/json")
        refused = api.patch(url, {"currency": "CLF"}, content_type="application/json")

        assert (changed.status_code, changed.json()["currency"]) == (200, "CLF")
        assert (refused.status_code, answers.field_errors(refused)) == (400, [("currency", "unknown_currency")])

    def test_is_paid(self, payout: Payout) -> None:
        processing.process(payout.pk)

        payout.refresh_from_db()
        assert payout.status == "paid"
