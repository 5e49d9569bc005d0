"""Who wrote it: the signatures of our requests, and those of a bank's callbacks (docs/http-bank.md). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

from payouts.providers import base

#: Either way: clocks differ, and a callback that is older may be a recorded one.
TOLERANCE_SECONDS: Final = 300
#: The secret in use, and the one before or after it while it is changed. A stranger makes us hash his body with each.
KEYS_MAX: Final = 2
#: A sender signs once with each of its own keys. Ten leave room for schemes that we do not know.
SIGNATURES_MAX: Final = 10
#: Ten signatures of 47 characters, twice over.
SIGNATURE_HEADER_LENGTH_MAX: Final = 1024
#: What Standard Webhooks puts in front of a secret in base64.
_BASE64_PREFIX = "whsec_"
_SCHEME_PREFIX = "v1,"

_EVENT_ID = re.compile(r"[!-~]{1,255}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def sign_request(secret: str, *, timestamp: int, method: str, target: str, body: bytes) -> dict[str, str]:
    """Return the headers that show that the request is ours and of now; the target is path and query as sent."""
    signed = f"{timestamp}.{method}.{target}.".encode() + body
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return {"Payouts-Timestamp": str(timestamp), "Payouts-Signature": f"v1={signature}"}


def callback_key(secret: str) -> bytes:
    """Return the key that a configured secret stands for; ValueError, which does not repeat it, where it is none."""
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
    """Return the id of the event that one of the keys has signed just now. Raises CallbackRefused.

    The caller is unknown until then. So what is cheap to check comes first, and the body is hashed once for each key.
    """
    event_id = _header(headers, "webhook-id", _EVENT_ID)
    timestamp = _header(headers, "webhook-timestamp", _TIMESTAMP)
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        raise base.CallbackRefused(f"webhook-timestamp is more than {TOLERANCE_SECONDS} s from our clock.")
    given = _signatures(headers.get("webhook-signature", ""))
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = [_signature(key, signed) for key in keys] if given else []
    # Each is compared with each, in constant time: how long it takes tells nothing of which one fits how well.
    if not sum(hmac.compare_digest(ours, signature) for ours in expected for signature in given):
        raise base.CallbackRefused("No signature in webhook-signature fits.")
    return event_id


def _header(headers: Mapping[str, str], name: str, pattern: re.Pattern[str]) -> str:
    value = headers.get(name, "")
    if not pattern.fullmatch(value):
        raise base.CallbackRefused(f"{name} is missing or malformed.")
    return value


def _signatures(header: str) -> list[bytes]:
    """Return the signatures of the scheme that we know, in base64; others stand beside them for other receivers."""
    if len(header) > SIGNATURE_HEADER_LENGTH_MAX:
        raise base.CallbackRefused(f"webhook-signature has more than {SIGNATURE_HEADER_LENGTH_MAX} characters.")
    listed = [signature for signature in header.split(" ") if signature]
    if len(listed) > SIGNATURES_MAX:
        raise base.CallbackRefused(f"webhook-signature has more than {SIGNATURES_MAX} signatures.")
    ours = [signature for signature in listed if signature.startswith(_SCHEME_PREFIX)]
    return [signature.removeprefix(_SCHEME_PREFIX).encode("utf-8", "replace") for signature in ours]


def _signature(key: bytes, signed: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
