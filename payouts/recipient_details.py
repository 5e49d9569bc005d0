"""The recipient as the merchant sent it: a line of text, or an object of texts. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

RecipientDetails = str | dict[str, str]

#: The fields of an object, in the order in which they are shown.
FIELDS: Final = ("name", "account", "bank_code", "country", "address")

_PARTS: Final = re.compile("[,;|]")
_HAS_DIGIT: Final = re.compile("[0-9]")


def shown(recipient: RecipientDetails) -> RecipientDetails:
    """Return the recipient for an answer: the text, or the object with its fields in the order of FIELDS."""
    if isinstance(recipient, str):
        return recipient
    return {name: recipient[name] for name in FIELDS if name in recipient}


def label(recipient: RecipientDetails) -> str:
    """Return the recipient's name for people."""
    return recipient if isinstance(recipient, str) else recipient.get("name", "")


def text_of(recipient: RecipientDetails) -> str:
    """Return the recipient's text, or an empty text for an object."""
    return recipient if isinstance(recipient, str) else ""


def field_of(recipient: RecipientDetails, name: str) -> str:
    """Return a field of the object, or an empty text if the recipient has no such field."""
    return "" if isinstance(recipient, str) else recipient.get(name, "")


def missing(recipient: RecipientDetails, required: Sequence[str]) -> list[str]:
    """Return the required fields that the recipient lacks. A text has no fields."""
    return [name for name in required if isinstance(recipient, str) or name not in recipient]


def private_texts(recipient: RecipientDetails) -> list[str]:
    """Return the private texts of the recipient, longest first: a short one may be part of a longer one.

    A text holds a name and an account in some order, and a bank may repeat one of them. So its parts between commas
    and its words with a digit are private. A word without a digit may be an ordinary word of the bank's explanation.
    """
    if isinstance(recipient, str):
        parts = _PARTS.split(recipient)
        words = [word for part in parts for word in part.split() if _HAS_DIGIT.search(word)]
        texts = [recipient, *parts, *words]
    else:
        texts = list(recipient.values())
    return sorted(texts, key=len, reverse=True)
