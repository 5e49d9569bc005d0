"""Our references of payouts at providers. Pure.

A reference is a UUID, with a number from the second one on (`<uuid>-2`). The provider pays each reference once.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Final

#: Part of what is hashed. It must never change: a lost payout meets its payment under the same reference only.
_PURPOSE: Final = b"payouts: reference at the provider, 1"

# RFC 9562 keeps version 8 for values like this, and variant 2. So no derived reference is ever the id of a payout,
# which has version 7.
_VERSION_AND_VARIANT: Final = (0xF << 76) | (0x3 << 62)
_VERSION_8: Final = (0x8 << 76) | (0x2 << 62)

_FORM: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-([1-9][0-9]{0,3}))?")


def derive(merchant_id: uuid.UUID, mode: str, idempotency_key: str) -> uuid.UUID:
    """Return the reference of the payout that this key of the merchant creates in this mode.

    The database may lose its last commits. The client then retries, the payout is created again, and the provider
    finds the first payment under the same reference. The key cannot be read from the reference.
    """
    # Merchant and mode have no NUL and the key is last, so two different requests never hash the same text.
    hashed = b"\0".join((_PURPOSE, str(merchant_id).encode(), mode.encode(), idempotency_key.encode()))
    number = int.from_bytes(hashlib.sha256(hashed).digest()[:16], "big")
    return uuid.UUID(int=(number & ~_VERSION_AND_VARIANT) | _VERSION_8)


def spell(own_reference: uuid.UUID, number: int) -> str:
    """Return the reference in the form that the provider gets."""
    return str(own_reference) if number == 1 else f"{own_reference}-{number}"


def read(text: str) -> tuple[uuid.UUID, int] | None:
    """Return the UUID and the number of a reference, or None if this is none of ours."""
    parts = _FORM.fullmatch(text)
    return (uuid.UUID(parts[1]), int(parts[2] or 1)) if parts is not None else None
