"""What an answer says and what a request left behind, in the shape that tests compare."""

from __future__ import annotations

from typing import Any

from idempotency.models import IdempotencyRecord
from payouts.models import Payout, PayoutAttempt, PayoutTransition

NOTHING = {"payouts": 0, "transitions": 0, "attempts": 0, "idempotency_records": 0}


def field_errors(response: Any) -> list[tuple[str, str]]:
    """Return (field, code) of each error of a 400, in the order of the answer."""
    return [(error["field"], error["code"]) for error in response.json()["errors"]]


def code(response: Any) -> tuple[int, str]:
    """Return the HTTP status and the code of a problem document."""
    return response.status_code, response.json().get("code", "")


def rows_written() -> dict[str, int]:
    """Return how many rows there are of everything that a request for a payout could write."""
    return {
        "payouts": Payout.objects.count(),
        "transitions": PayoutTransition.objects.count(),
        "attempts": PayoutAttempt.objects.count(),
        "idempotency_records": IdempotencyRecord.objects.count(),
    }
