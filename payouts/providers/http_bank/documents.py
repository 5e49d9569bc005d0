"""What a bank writes, read strictly (docs/bank-api.yaml). Pure.

An answer that has to be guessed at tells nothing about money. So whatever is not what the contract says is Unreadable.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from payouts import money

REFERENCE: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
CALLBACK_TYPE: Final = "transfer.updated"

_CURRENCY = re.compile(r"[A-Z]{3}")
#: As many as are stored of a provider's own id.
_ID_LENGTH_MAX = 255
#: Twice what an amount of ours may have: room for zeros at its end.
_AMOUNT_LENGTH_MAX = 2 * (money.AMOUNT_DIGITS_MAX + 1)


class Unreadable(Exception):
    """The message says what is wrong, and repeats nothing of what was written."""


class TransferStatus(enum.Enum):
    ACCEPTED = "accepted"
    PAID = "paid"
    REJECTED = "rejected"
    RETURNED = "returned"


#: Whether something may follow; for a payment it is for the bank to say.
_FINAL: Final = {TransferStatus.ACCEPTED: False, TransferStatus.REJECTED: True, TransferStatus.RETURNED: True}


@dataclass(frozen=True)
class Transfer:
    """What a bank says about one reference."""

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
    """What a bank says where it has no transfer to show."""

    code: str
    message: str


@dataclass(frozen=True)
class Refusal(Problem):
    """What a bank says when it will not make a transfer, and for which reference."""

    reference: str


def read_transfer(body: bytes) -> Transfer:
    """Read the document that a good answer has. Raises Unreadable."""
    return _transfer(_read_object(body))


def read_problem(body: bytes) -> Problem:
    """Read the document that an answer without a transfer has. Raises Unreadable."""
    return _problem(_read_object(body))


def read_refusal(body: bytes) -> Refusal:
    """Read the document that a refusal to make a transfer has. Raises Unreadable."""
    document = _read_object(body)
    problem = _problem(document)
    return Refusal(problem.code, problem.message, _matching(document, "reference", REFERENCE))


def read_callback(body: bytes) -> Transfer:
    """Read what a bank tells by itself. Raises Unreadable."""
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
    # A refusal after which something may follow proves nothing, and what is only accepted cannot be the end.
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
    if not 1 <= len(text) <= _ID_LENGTH_MAX or not text.isprintable():
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
    """Read a JSON object (RFC 8259) without the liberties that Python's reader takes."""
    try:
        # A byte order mark may be ignored (RFC 8259): it says nothing, and some programs write one.
        document = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except (ValueError, RecursionError):
        # Without the cause, which quotes what was written.
        raise Unreadable("it is not JSON") from None
    if not isinstance(document, dict):
        raise Unreadable("it is not a JSON object")
    return document


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Of two statuses in one document neither counts."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise Unreadable("it has a name twice")
    return document


def _refuse(constant: str) -> NoReturn:
    raise Unreadable(f"{constant} is no JSON")
