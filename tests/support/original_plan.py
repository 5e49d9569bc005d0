"""The request that the plan documents, copied to the letter."""

from __future__ import annotations

import json

BODY = """
{
  "amount": "100.00",
  "currency": "USD",
  "recipient_details": "Card ****1234",
  "comment": "Test payout"
}
"""
FIELDS: dict[str, str] = json.loads(BODY)
