"""A merchant's backend at a running stack."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.support.stack import Stack

_POLL_SECONDS = 0.1
_ENDS_WITHIN_SECONDS = 25.0


def body(account: str = "sandbox_paid", **fields: str) -> dict[str, Any]:
    recipient = {"name": "Jane Doe", "account": account}
    return {"amount": "10.50", "currency": "EUR", "recipient_details": recipient, **fields}


def client_of(stack: Stack, merchant: str, *options: str) -> httpx.Client:
    """Return the merchant's backend; the options are those of the command issue_api_key."""
    headers = {"Authorization": f"Api-Key {stack.issue_api_key(merchant, *options)}"}
    return httpx.Client(base_url=stack.base_url, headers=headers, timeout=10)


def wait_for(client: httpx.Client, location: str, status: str) -> dict[str, Any]:
    """Return the payout once it has the status, or as it is when the patience ends."""
    deadline = time.monotonic() + _ENDS_WITHIN_SECONDS
    while True:
        payout: dict[str, Any] = client.get(location).json()
        if payout["status"] == status or time.monotonic() > deadline:
            return payout
        time.sleep(_POLL_SECONDS)


def statuses_of(client: httpx.Client, location: str) -> list[str]:
    """Return the statuses that the payout has gone through."""
    return [transition["to_status"] for transition in client.get(f"{location}history/").json()["transitions"]]
