"""What the tests of http_bank start from."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any

from payouts.providers import base
from payouts.providers.http_bank.provider import Configuration, HttpBankProvider

TOKEN = "a-bearer-token"
SECRET = "a-signing-secret"
CALLBACK_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

CAPABILITIES = base.Capabilities(
    idempotency_window_seconds=86400.0, settle_time_seconds=3600.0, return_window_seconds=3600.0, concurrency_max=8
)

RECIPIENT = {"name": "Jane Doe", "account": "DE89370400440532013000"}
INSTRUCTION = base.Instruction(
    reference="0192f0c1-0000-7000-8000-000000000001",
    amount=Decimal("10.5000"),
    currency="EUR",
    recipient_details=RECIPIENT,
    attempt=1,
    age_seconds=0.0,
)


def provider(url: str, *, timeout_seconds: float = 5.0, **changes: Any) -> HttpBankProvider:
    """Make a provider; with a token unless something else is said."""
    if "signing_secret" not in changes:
        changes.setdefault("bearer_token", TOKEN)
    changes.setdefault("callback_secrets", (CALLBACK_SECRET,))
    return HttpBankProvider(
        Configuration(base_url=url, capabilities=CAPABILITIES, timeout_seconds=timeout_seconds, **changes)
    )


def needing(*fields: str) -> base.Capabilities:
    """Return the capabilities of a bank that needs these fields of a recipient."""
    return replace(CAPABILITIES, recipient_fields_required=fields)


def instruction(account: str = "DE89370400440532013000", **changes: Any) -> base.Instruction:
    """Make an instruction with a reference of its own."""
    details = {**RECIPIENT, "account": account}
    return replace(INSTRUCTION, **{"reference": str(uuid.uuid4()), "recipient_details": details, **changes})


def transfer(**changes: Any) -> dict[str, Any]:
    """Return the document of INSTRUCTION, paid for good."""
    return {
        "id": "tr_1",
        "reference": INSTRUCTION.reference,
        "amount": "10.50",
        "currency": "EUR",
        "status": "paid",
        "final": True,
        "code": "",
        "message": "",
    } | changes


def refusal(**changes: Any) -> dict[str, Any]:
    """Return the document with which INSTRUCTION is refused."""
    document = {"code": "account_closed", "message": "The account is closed.", "reference": INSTRUCTION.reference}
    return document | changes


def as_json(document: object) -> bytes:
    return json.dumps(document).encode()
