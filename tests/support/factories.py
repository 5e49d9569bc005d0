"""Plain functions that make what tests need, with honest defaults."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.test import Client

from accounts import services
from accounts.models import Merchant


def client_of(merchant: Merchant, **key_fields: Any) -> Client:
    """Return an HTTP client that shows a new key of the merchant; the fields are those of services.issue_api_key."""
    _, secret = services.issue_api_key(merchant, name="test", **key_fields)
    return client_with(secret)


def client_with(secret: str) -> Client:
    return Client(headers={"authorization": f"Api-Key {secret}"})


def payout_body(*, account: str = "sandbox_paid", **fields: Any) -> dict[str, Any]:
    """Return a request body that is accepted; `fields` replace or add."""
    return {
        "amount": "10.50",
        "currency": "EUR",
        "recipient_details": {"name": "Jane Doe", "account": account},
        **fields,
    }


def payout_fields(*, account: str = "sandbox_paid", **fields: Any) -> dict[str, Any]:
    """Return the fields of a payout as the service takes them."""
    return {**payout_body(account=account), "amount": Decimal("10.50"), **fields}


def post_payout(client: Client, body: Any = None, *, key: str | None = None, **headers: str) -> Any:
    """POST a payout as JSON (a str or bytes body goes out as it is) and return the response."""
    if key is not None:
        headers["Idempotency-Key"] = key
    return client.post(
        "/api/payouts/", payout_body() if body is None else body, content_type="application/json", headers=headers
    )
