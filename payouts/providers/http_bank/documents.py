"""Strict readers of a bank's documents (docs/bank-api.yaml). Pure.

A guess says nothing about money. So any document that breaks the contract is Unreadable.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from payouts import limits, money

REFERENCE: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
CALLBACK_TYPE: Final = "transfer.updated"

_CURRENCY = re.compile(r"[A-Z]{3}")
#: Twice the length of our amounts: room for trailing zeros.
_AMOUNT_LENGTH_MAX = 2 * (money.AMOUNT_DIGITS_MAX + 1)


class Unreadable(Exception):
    """The message says what is wrong, without quoting the document."""


class TransferStatus(enum.Enum):
    ACCEPTED = "accepted"
    PAID = "paid"
    REJECTED = "rejected"
    RETURNED = "returned"


#: Whether a status is final; for a payment the bank says it.
_FINAL: Final = {TransferStatus.ACCEPTED: False, TransferStatus.REJECTED: True, TransferStatus.RETURNED: True}


@dataclass(frozen=True)
class Transfer:
    """A bank's statement about one reference."""

    id: str
    reference: str
    amount: Decimal
    currency: str
    status: TransferStatus
    is_final: bool
    code: str
    message: str


@dataclass(frozen=True)
class Problem:
    """A bank's answer without a transfer."""

    code: str
    message: str


@dataclass(frozen=True)
class Refusal(Problem):
    """A bank's refusal to make a transfer, and its reference."""

    reference: str


def read_transfer(body: bytes) -> Transfer:
    """Read the document of a good answer. Raises Unreadable."""
    return _transfer(_read_object(body))


def read_problem(body: bytes) -> Problem:
    """Read the document of an answer without a transfer. Raises Unreadable."""
    return _problem(_read_object(body))


def read_refusal(body: bytes) -> Refusal:
    """Read the document of a refusal. Raises Unreadable."""
    document = _read_object(body)
    problem = _problem(document)
    return Refusal(problem.code, problem.message, _matching(document, "reference", REFERENCE))


def read_conflicting(body: bytes) -> Transfer | None:
    """Read the transfer that a 409 may show. None if there is none that can be read: it is only for people."""
    try:
        transfer = _read_object(body).get("transfer")
        return _transfer(transfer) if isinstance(transfer, dict) else None
    except Unreadable:
        return None


def read_callback(body: bytes) -> Transfer:
    """Read a callback of a bank. Raises Unreadable."""
    document = _read_object(body)
    if _text(document, "type") != CALLBACK_TYPE:
        raise Unreadable(f"type is not {CALLBACK_TYPE}")
    transfer = document.get("transfer")
    if not isinstance(transfer, dict):
        raise Unreadable("transfer is missing or no object")
    return _transfer(transfer)


def _transfer(document: dict[str, object]) -> Transfer:
    status = _status(document)
    is_final = document.get("final")
    if not isinstance(is_final, bool):
        raise Unreadable("final is missing or neither true nor false")
    # A refusal that is not final proves nothing, and an accepted transfer cannot be final.
    if is_final is not _FINAL.get(status, is_final):
        raise Unreadable("final contradicts the status")
    return Transfer(
        id=_id(document),
        reference=_matching(document, "reference", REFERENCE),
        amount=_amount(document),
        currency=_matching(document, "currency", _CURRENCY),
        status=status,
        is_final=is_final,
        code=_text(document, "code"),
        message=_text(document, "message"),
    )


def _problem(document: dict[str, object]) -> Problem:
    code, message = _text(document, "code"), _text(document, "message")
    if not code.strip():
        raise Unreadable("code is empty")
    return Problem(code, message)


def _status(document: dict[str, object]) -> TransferStatus:
    try:
        return TransferStatus(_text(document, "status"))
    except ValueError:
        raise Unreadable("status is none that the contract has") from None


def _id(document: dict[str, object]) -> str:
    text = _text(document, "id")
    if not 1 <= len(text) <= limits.REFERENCE_LENGTH_MAX or not text.isprintable():
        raise Unreadable("id is empty, too long or not printable")
    return text


def _amount(document: dict[str, object]) -> Decimal:
    text = _matching(document, "amount", money.AMOUNT)
    if len(text) > _AMOUNT_LENGTH_MAX:
        raise Unreadable("amount is too long")
    return Decimal(text)


def _matching(document: dict[str, object], name: str, pattern: re.Pattern[str]) -> str:
    text = _text(document, name)
    if not pattern.fullmatch(text):
        raise Unreadable(f"{name} is malformed")
    return text


def _text(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise Unreadable(f"{name} is missing or no text")
    return value


def _read_object(body: bytes) -> dict[str, object]:
    """Read a JSON object (RFC 8259), without the extensions of Python's reader."""
    try:
        # A byte order mark may be ignored (RFC 8259): some programs write one.
        document = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # Without the cause, which quotes the document.
        raise Unreadable("it is not JSON") from None
    if not isinstance(document, dict):
        raise Unreadable("it is not a JSON object")
    return document


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a name that occurs twice: neither value counts."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Unreadable("it has a name twice")
    return document


def _refuse(constant: str) -> NoReturn:
    raise Unreadable(f"{constant} is no JSON")
