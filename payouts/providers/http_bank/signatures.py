"""Signatures of our requests, and of a bank's callbacks (docs/http-bank.md). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from payouts import limits
from payouts.providers import base

#: In both directions: clocks differ, and an older callback may be a replay.
TOLERANCE_SECONDS: Final = 300
#: The secret in use, and its neighbour during a change. A stranger makes us hash his body with each.
KEYS_MAX: Final = 2
#: A sender signs once with each of its keys. Ten leave room for unknown schemes.
SIGNATURES_MAX: Final = 10
#: Twice ten signatures of 47 characters.
SIGNATURE_HEADER_LENGTH_MAX: Final = 1024
#: The prefix of a base64 secret in Standard Webhooks.
_BASE64_PREFIX = "whsec_"
_SCHEME_PREFIX = "v1,"

_EVENT_ID = re.compile(rf"[!-~]{{1,{limits.EVENT_ID_LENGTH_MAX}}}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def sign_request(secret: str, *, timestamp: int, method: str, target: str, body: bytes) -> dict[str, str]:
    """Return the headers that sign a request and its time. The target is path and query as sent."""
    signed = f"{timestamp}.{method}.{target}.".encode() + body
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {"Payouts-Timestamp": str(timestamp), "Payouts-Signature": f"v1={signature}"}


def callback_key(secret: str) -> bytes:
    """Return the key of a configured secret. Raises ValueError, which does not repeat the secret."""
    key = secret.encode()
    if secret.startswith(_BASE64_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_BASE64_PREFIX), validate=True)
        except ValueError:
            raise ValueError("not base64 after whsec_") from None
    if not key:
        raise ValueError("empty")
    return key


def verify_callback(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """Return the id of an event that one of the keys has just signed. Raises CallbackRefused.

    Until then the caller is unknown. So cheap checks come first, and the body is hashed once for each key.
    """
    event_id = _header(headers, "webhook-id", _EVENT_ID)
    timestamp = _header(headers, "webhook-timestamp", _TIMESTAMP)
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise base.CallbackRefused(f"webhook-timestamp is more than {TOLERANCE_SECONDS} s from our clock.")
    given = _signatures(headers.get("webhook-signature", ""))
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = [_signature(key, signed) for key in keys] if given else []
    # All pairs are compared in constant time: the duration reveals nothing about a match.
    if not sum(hmac.compare_digest(ours, signature) for ours in expected for signature in given):
        raise base.CallbackRefused("No signature in webhook-signature fits.")
    return event_id


def _header(headers: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = headers.get(name, "")
    if not pattern.fullmatch(value):
        raise base.CallbackRefused(f"{name} is missing or malformed.")
    return value


def _signatures(header: str) -> list[bytes]:
    """Return the base64 signatures of our scheme; other schemes are for other receivers."""
    if len(header) > SIGNATURE_HEADER_LENGTH_MAX:
        raise base.CallbackRefused(f"webhook-signature has more than {SIGNATURE_HEADER_LENGTH_MAX} characters.")
    listed = [signature for signature in header.split(" ") if signature]
    if len(listed) > SIGNATURES_MAX:
        raise base.CallbackRefused(f"webhook-signature has more than {SIGNATURES_MAX} signatures.")
    ours = [signature for signature in listed if signature.startswith(_SCHEME_PREFIX)]
    return [signature.removeprefix(_SCHEME_PREFIX).encode("utf-8", "replace") for signature in ours]


def _signature(key: bytes, signed: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
