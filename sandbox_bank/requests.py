"""The body of PUT /v1/transfers/{reference}: amount, currency and recipient."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sandbox_bank import documents, responses

REFERENCE = re.compile(r"[A-Za-z0-9-]{1,64}")
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,14})(\.[0-9]{1,8})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_TEXT_LENGTH_MAX = 255
_FIELDS = frozenset({"amount", "currency", "recipient"})
_RECIPIENT_FIELDS = frozenset({"name", "account", "bank_code", "country", "address"})
_RECIPIENT_FIELDS_REQUIRED = frozenset({"name", "account"})


@dataclass(frozen=True)
class TransferRequest:
    """The terms of a transfer. All requests for one reference must have the same terms."""

    amount: str
    currency: str
    recipient: dict[str, str]

    @property
    def account(self) -> str:
        return self.recipient["account"]

    @property
    def recipient_text(self) -> str:
        """The stored form of the recipient. Equal recipients have equal texts."""
        return json.dumps(self.recipient, sort_keys=True)

    def matches(self, other: TransferRequest) -> bool:
        """Say whether the terms are the same; 10.5 equals 10.50."""
        return (
            Decimal(self.amount) == Decimal(other.amount)
            and self.currency == other.currency
            and self.recipient == other.recipient
        )


def read(body: bytes) -> TransferRequest:
    """Return the terms in this body; raise Refusal (400) with the field's name if the body breaks the contract."""
    document = documents.read_object(body)
    _check_names(document, where="the body", known=_FIELDS, required=_FIELDS)
    amount, currency = _text(document, "amount"), _text(document, "currency")
    if not _AMOUNT.fullmatch(amount) or not Decimal(amount):
        raise responses.malformed('amount must be a positive decimal number such as "10.50".')
    if not _CURRENCY.fullmatch(currency):
        raise responses.malformed('currency must be three capital letters such as "EUR".')
    return TransferRequest(amount, currency, _read_recipient(document["recipient"]))


def _read_recipient(recipient: Any) -> dict[str, str]:
    if not isinstance(recipient, dict):
        raise responses.malformed("recipient must be a JSON object.")
    _check_names(recipient, where="recipient", known=_RECIPIENT_FIELDS, required=_RECIPIENT_FIELDS_REQUIRED)
    texts = {name: _text(recipient, name) for name in recipient}
    if not _COUNTRY.fullmatch(texts.get("country", "DE")):
        raise responses.malformed('country must be two capital letters such as "DE".')
    return texts


def _check_names(document: dict[str, Any], *, where: str, known: frozenset[str], required: frozenset[str]) -> None:
    if missing := sorted(required - document.keys()):
        raise responses.malformed(f"{missing[0]} is missing in {where}.")
    # A bank that ignores a field may pay something else than the caller meant.
    if unknown := sorted(document.keys() - known):
        raise responses.malformed(f"{unknown[0][:40]!a} in {where} is not part of the contract.")


def _text(document: dict[str, Any], name: str) -> str:
    """Return the string; refuse one that does not fit into a payment file."""
    value = document[name]
    if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_LENGTH_MAX:
        raise responses.malformed(f"{name} must be a string of 1 to {_TEXT_LENGTH_MAX} characters.")
    # Control characters, and halves of surrogate pairs, which JSON can write and UTF-8 cannot.
    if any(ord(character) < 32 or ord(character) == 127 or "\ud800" <= character <= "\udfff" for character in value):
        raise responses.malformed(f"{name} holds a character that is not allowed.")
    return value
