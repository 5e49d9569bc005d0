"""A bank, or a gateway in front of one, that speaks docs/bank-api.yaml. docs/http-bank.md says how to make one.

Each request carries the reference, and the bank promises to pay once for each. `responses` has the meaning of the
answers, `transport` sends the requests, and `documents` has the form of the answers.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import httpcore
import httpx

from payouts import money, recipient_details
from payouts.providers import base
from payouts.providers.http_bank import base_url as bank_addresses
from payouts.providers.http_bank import documents, responses, signatures
from payouts.providers.http_bank.responses import Answer
from payouts.providers.http_bank.transport import Transport

_IDENTITY = re.compile(rf"[A-Za-z0-9._-]{{1,{base.IDENTITY_LENGTH_MAX}}}")
#: Digits of a hash that only tells one address from another.
_IDENTITY_DIGITS: Final = 16
_BEARER_TOKEN = re.compile(r"[!-~]+")
#: docs/bank-api.yaml, Recipient.
_RECIPIENT_FIELDS: Final = ("name", "account")
_HEADERS: Final = {
    "User-Agent": "payouts",
    "Accept": "application/json",
    # A compressed answer may be far larger than it looks.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Address and promises of a bank. Raises ValueError, which says what to set, if that cannot work."""

    base_url: str
    capabilities: base.Capabilities
    #: Name of the bank; empty: made of the base URL. It stays when the bank moves to another address.
    identity: str = ""
    #: Exactly one of these two.
    bearer_token: str = field(default="", repr=False)
    signing_secret: str = field(default="", repr=False)
    #: At most two. Either may sign a callback; without any, all callbacks are refused.
    callback_secrets: tuple[str, ...] = field(default=(), repr=False)
    #: PEM file of the only trusted certificate authorities; empty: those of the system and of certifi.
    ca_file: str = ""
    #: Time limit of a whole call.
    timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        self._check_address()
        if self.identity and not _IDENTITY.fullmatch(self.identity):
            raise ValueError(
                f"PAYOUTS_HTTP_BANK_ID must be 1 to {base.IDENTITY_LENGTH_MAX} of the characters A-Z, a-z, 0-9, dot, "
                "hyphen and underscore."
            )
        self._check_secrets()
        if self.ca_file:
            tls_context(self.ca_file)
        if not (math.isfinite(self.timeout_seconds) and self.timeout_seconds > 0):
            raise ValueError("PAYOUTS_PROVIDER_TIMEOUT_SECONDS must be a number of seconds above 0.")

    def _check_address(self) -> None:
        try:
            bank_addresses.read_base_url(self.base_url)
        except ValueError:
            raise ValueError(
                "PAYOUTS_HTTP_BANK_URL must be an http or https address without user, query and fragment, "
                "such as https://bank.example/v1."
            ) from None

    def _check_secrets(self) -> None:
        if bool(self.bearer_token) is bool(self.signing_secret):
            raise ValueError("Set one of PAYOUTS_HTTP_BANK_TOKEN and PAYOUTS_HTTP_BANK_SECRET, and not both.")
        if self.bearer_token and not _BEARER_TOKEN.fullmatch(self.bearer_token):
            raise ValueError("PAYOUTS_HTTP_BANK_TOKEN must be visible ASCII characters without blanks.")
        if not self.signing_secret.isprintable():
            raise ValueError("PAYOUTS_HTTP_BANK_SECRET must be printable characters.")
        if len(self.callback_secrets) > signatures.KEYS_MAX:
            raise ValueError(
                f"PAYOUTS_HTTP_BANK_CALLBACK_SECRET takes at most {signatures.KEYS_MAX} secrets: the one in use, "
                "and the old or the new one while it is changed."
            )
        for secret in self.callback_secrets:
            try:
                signatures.callback_key(secret)
            except ValueError:
                raise ValueError(
                    "PAYOUTS_HTTP_BANK_CALLBACK_SECRET must be secrets with commas between them, "
                    "and each that begins with whsec_ must go on in base64."
                ) from None


class HttpBankProvider:
    """The provider. Threads may share it, and it survives a fork: it connects only when it is called."""

    name = "http_bank"

    def __init__(self, configuration: Configuration, *, clock: Callable[[], float] = time.time) -> None:
        """Connect to nothing yet."""
        self.capabilities = replace(configuration.capabilities, recipient_fields_required=_RECIPIENT_FIELDS)
        self._configuration = configuration
        self._clock = clock
        self._base_url = bank_addresses.read_base_url(configuration.base_url)
        self.identity = configuration.identity or _identity_of(self._base_url)
        self._callback_keys = [signatures.callback_key(secret) for secret in configuration.callback_secrets]
        tls = tls_context(configuration.ca_file) if self._base_url.startswith("https:") else None
        self._transport = Transport(configuration.timeout_seconds, tls)

    def send(self, instruction: base.Instruction) -> base.Report:
        """Order the payment: once for a reference, however often it is sent while the bank remembers it.

        Raises Rejected if the bank documents that it created nothing, or if the instruction cannot be written for it;
        Unavailable if the request cannot have reached the bank, or it documents that it did nothing; OutcomeUnknown in
        every other case.
        """
        if not _is_reference(instruction):
            # A retry would fail in the same way.
            raise base.Rejected("instruction_unusable", "The reference is none that a bank takes.")
        answer = self._exchange("PUT", instruction, body=_order(instruction))
        return responses.read_send(answer, instruction, hidden=self._hidden(instruction))

    def ask(self, instruction: base.Instruction) -> base.Report:
        """Ask for the outcome of the reference. Moves nothing, whatever the result.

        Raises Unavailable if the bank cannot have been asked or documents that it did nothing, and OutcomeUnknown if
        its answer is unusable; never Rejected.
        """
        if not _is_reference(instruction):
            raise base.Unavailable("instruction_unusable", "The reference is none that a bank can be asked about.")
        answer = self._exchange("GET", instruction)
        return responses.read_ask(answer, instruction, hidden=self._hidden(instruction))

    def authenticate_callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the bank's id of the event, if one of the secrets signed it less than five minutes ago.

        Raises CallbackRefused and nothing else, for any input.
        """
        if not self._callback_keys:
            raise base.CallbackRefused("PAYOUTS_HTTP_BANK_CALLBACK_SECRET is not set: no callback can be checked.")
        return signatures.verify_callback(self._callback_keys, headers, body, now=self._clock())

    def parse_callback(self, body: bytes) -> base.CallbackReport:
        """Read an authentic callback. Raises CallbackUnreadable and nothing else, for any input."""
        try:
            transfer = documents.read_callback(body)
        except documents.Unreadable as error:
            raise base.CallbackUnreadable(f"The bank's callback cannot be read: {error}.") from None
        report = responses.report_of(transfer, hidden=self._secrets())
        return base.CallbackReport(transfer.reference, report, transfer.amount, transfer.currency)

    def close(self) -> None:
        """Close the connections, if no call is under way. Later calls still work."""
        self._transport.close()

    def _exchange(self, method: str, instruction: base.Instruction, *, body: bytes = b"") -> Answer:
        url = f"{self._base_url}/transfers/{instruction.reference}"
        headers = {**_HEADERS, "Content-Type": "application/json"} if body else _HEADERS
        request = httpx.Request(method, url, headers=headers, content=body)
        request.headers.update(self._credentials(request, body))
        return self._transport.exchange(request)

    def _credentials(self, request: httpx.Request, body: bytes) -> dict[str, str]:
        if self._configuration.bearer_token:
            return {"Authorization": f"Bearer {self._configuration.bearer_token}"}
        return signatures.sign_request(
            self._configuration.signing_secret,
            timestamp=int(self._clock()),
            method=request.method,
            target=request.url.raw_path.decode(),
            body=body,
        )

    def _hidden(self, instruction: base.Instruction) -> tuple[str, ...]:
        """Return the values that the bank may repeat to us, and that we must hide."""
        return (*self._secrets(), *recipient_details.private_texts(instruction.recipient_details))

    def _secrets(self) -> tuple[str, ...]:
        return self._configuration.bearer_token, self._configuration.signing_secret


def _identity_of(base_url: str) -> str:
    """Return an identity for a bank without one. A hash: an address may say more than an operator wants to store."""
    return f"url-{hashlib.sha256(base_url.encode()).hexdigest()[:_IDENTITY_DIGITS]}"


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return the TLS context: it trusts the authorities of the file alone, or of the system and certifi."""
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpcore.default_ssl_context()
    except OSError:
        raise ValueError("PAYOUTS_HTTP_BANK_CA_BUNDLE must be a readable file of certificates (PEM).") from None


def _is_reference(instruction: base.Instruction) -> bool:
    return bool(documents.REFERENCE.fullmatch(instruction.reference))


def _order(instruction: base.Instruction) -> bytes:
    """Return the body of a PUT. Raises Rejected if it cannot be written; then nothing is sent."""
    if recipient_details.missing(instruction.recipient_details, _RECIPIENT_FIELDS):
        raise base.Rejected("instruction_unusable", "The recipient has no name or no account that a bank could read.")
    terms = {
        "amount": _plain(instruction),
        "currency": instruction.currency,
        "recipient": instruction.recipient_details,
    }
    return json.dumps(terms, separators=(",", ":")).encode()


def _plain(instruction: base.Instruction) -> str:
    """Return the amount with at least the decimals of its currency. Nothing is rounded."""
    whole, _, decimals = f"{instruction.amount:f}".partition(".")
    decimals = decimals.rstrip("0").ljust(money.decimals_of_currency(instruction.currency), "0")
    text = f"{whole}.{decimals}" if decimals else whole
    if not money.AMOUNT.fullmatch(text):
        raise base.Rejected("instruction_unusable", "The amount is none that a bank takes.")
    return text
