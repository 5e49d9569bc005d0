"""Who calls the bank, and how the bank signs its callbacks. Written from the contract, not from the platform's code."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from sandbox_bank import responses

#: The tolerated difference of two clocks. An older signature may be a recorded one.
CLOCK_DIFFERENCE_MAX_SECONDS = 300
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every such secret starts with


@dataclass(frozen=True)
class Credentials:
    """The secrets that prove a caller. At least one of the two is set."""

    token: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)

    def check(self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, now: float) -> None:
        """Raise Refusal (401) unless the token or the signature is right. Header names are lower-case."""
        if "authorization" in headers and self.token:
            self._check_token(headers["authorization"])
        elif "payouts-signature" in headers and self.secret:
            self._check_signature(method, target, headers, body, now=now)
        else:
            raise _unauthorized(f"Send {self._accepted}.")

    @property
    def _accepted(self) -> str:
        token = "Authorization: Bearer TOKEN" if self.token else ""
        signature = "Payouts-Timestamp and Payouts-Signature" if self.secret else ""
        return " or ".join(filter(None, (token, signature)))

    def _check_token(self, authorization: str) -> None:
        if not _same(authorization, f"Bearer {self.token}"):
            raise _unauthorized("The bearer token is wrong.")

    def _check_signature(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes, *, now: float
    ) -> None:
        timestamp = headers.get("payouts-timestamp", "")
        if not _TIMESTAMP.fullmatch(timestamp):
            raise _unauthorized("Payouts-Timestamp must be the time in unix seconds.")
        if abs(now - int(timestamp)) > CLOCK_DIFFERENCE_MAX_SECONDS:
            raise _unauthorized(
                f"Payouts-Timestamp is more than {CLOCK_DIFFERENCE_MAX_SECONDS} s from the bank's clock."
            )
        signed = f"{timestamp}.{method}.{target}.".encode("latin-1", "replace") + body
        expected = hmac.new(self.secret.encode(), signed, hashlib.sha256).hexdigest()
        if not _same(headers["payouts-signature"], f"v1={expected}"):
            raise _unauthorized("Payouts-Signature is wrong.")


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _unauthorized(message: str) -> responses.Refusal:
    return responses.Refusal(HTTPStatus.UNAUTHORIZED, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def webhook_key(secret: str) -> bytes:
    """Return the bytes to sign callbacks with; raise ValueError for a `whsec_` secret that is not base64."""
    if not secret.startswith(_WEBHOOK_SECRET_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(_WEBHOOK_SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"what follows {_WEBHOOK_SECRET_PREFIX} is not base64") from error
    if not key:
        raise ValueError(f"nothing follows {_WEBHOOK_SECRET_PREFIX}")
    return key


def sign_webhook(key: bytes, *, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of Standard Webhooks."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }
