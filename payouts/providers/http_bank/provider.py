"""A bank, or a gateway in front of one, that speaks docs/bank-api.yaml. docs/http-bank.md says how to make one.

The reference goes with each request, and the bank promises that it pays once for each. What its answers mean is in
`bank_answers`, how they get here in `bank_transport`, and what they look like in `bank_documents`.
"""

from __future__ import annotations

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

_BEARER_TOKEN = re.compile(r"[!-~]+")
#: docs/bank-api.yaml, Recipient.
_RECIPIENT_FIELDS: Final = ("name", "account")
_HEADERS: Final = {
    "User-Agent": "payouts",
    "Accept": "application/json",
    # What is compressed may be far larger than it looks.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """How to reach a bank, and what it promises. ValueError, which says what to set, where that cannot work."""

    base_url: str
    capabilities: base.Capabilities
    #: One of the two.
    bearer_token: str = field(default="", repr=False)
    signing_secret: str = field(default="", repr=False)
    #: At most two, and either may have signed a callback; with none, all callbacks are refused.
    callback_secrets: tuple[str, ...] = field(default=(), repr=False)
    #: The only certificate authorities to trust, as a PEM file; empty: those of the system and of certifi.
    ca_file: str = ""
    #: For one call from its beginning to its end.
    timeout_seconds: float = 30.0

    def __post_init__(self) -> None:
        self._check_address()
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
    """The provider. Threads may share it, and it may be made before a process forks: it connects when it is called."""

    name = "http_bank"

    def __init__(self, configuration: Configuration, *, clock: Callable[[], float] = time.time) -> None:
        """Connect to nothing yet."""
        self.capabilities = replace(configuration.capabilities, recipient_fields_required=_RECIPIENT_FIELDS)
        self._configuration = configuration
        self._clock = clock
        self._base_url = bank_addresses.read_base_url(configuration.base_url)
        self._callback_keys = [signatures.callback_key(secret) for secret in configuration.callback_secrets]
        tls = tls_context(configuration.ca_file) if self._base_url.startswith("https:") else None
        self._transport = Transport(configuration.timeout_seconds, tls)

    def send(self, instruction: base.Instruction) -> base.Report:
        """Have the money moved: once for a reference, however often it is sent while the bank remembers it.

        Raises Rejected where the bank documents that it created nothing, or the instruction cannot be written for it;
        Unavailable where the request cannot have reached it or it documents that it did nothing; OutcomeUnknown in
        every other case.
        """
        if not _is_reference(instruction):
            # Nor can it ever be: there is nothing to try again.
            raise base.Rejected("instruction_unusable", "The reference is none that a bank takes.")
        answer = self._exchange("PUT", instruction, body=_order(instruction))
        return responses.read_send(answer, instruction, hidden=self._hidden(instruction))

    def ask(self, instruction: base.Instruction) -> base.Report:
        """Tell what became of the reference. Moves nothing, however it ends.

        Raises Unavailable where the bank cannot have been asked or documents that it did nothing, and OutcomeUnknown
        where its answer is none; never Rejected.
        """
        if not _is_reference(instruction):
            raise base.Unavailable("instruction_unusable", "The reference is none that a bank can be asked about.")
        answer = self._exchange("GET", instruction)
        return responses.read_ask(answer, instruction, hidden=self._hidden(instruction))

    def authenticate_callback(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the bank's id of the event, which one of the secrets has signed less than five minutes ago.

        Raises CallbackRefused, and nothing else, whatever comes.
        """
        if not self._callback_keys:
            raise base.CallbackRefused("PAYOUTS_HTTP_BANK_CALLBACK_SECRET is not set: no callback can be checked.")
        return signatures.verify_callback(self._callback_keys, headers, body, now=self._clock())

    def parse_callback(self, body: bytes) -> base.CallbackReport:
        """Read a callback that was authentic. Raises CallbackUnreadable, and nothing else, whatever comes."""
        try:
            transfer = documents.read_callback(body)
        except documents.Unreadable as error:
            raise base.CallbackUnreadable(f"The bank's callback cannot be read: {error}.") from None
        report = responses.report_of(transfer, hidden=self._secrets())
        return base.CallbackReport(transfer.reference, report, transfer.amount, transfer.currency)

    def close(self) -> None:
        """Close the connections, when no call is under way. It may be called all the same."""
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
        """Return what the bank may repeat to us, and we do not repeat to others."""
        return (*self._secrets(), *recipient_details.private_texts(instruction.recipient_details))

    def _secrets(self) -> tuple[str, ...]:
        return self._configuration.bearer_token, self._configuration.signing_secret


def tls_context(ca_file: str) -> ssl.SSLContext:
    """Return what TLS trusts: the authorities of the file alone, or those of the system and of certifi."""
    try:
        return ssl.create_default_context(cafile=ca_file) if ca_file else httpcore.default_ssl_context()
    except OSError:
        raise ValueError("PAYOUTS_HTTP_BANK_CA_BUNDLE must be a readable file of certificates (PEM).") from None


def _is_reference(instruction: base.Instruction) -> bool:
    return bool(documents.REFERENCE.fullmatch(instruction.reference))


def _order(instruction: base.Instruction) -> bytes:
    """Return the body of a PUT. Raises Rejected for what can never be written down: nothing is sent then."""
    if recipient_details.missing(instruction.recipient_details, _RECIPIENT_FIELDS):
        raise base.Rejected("instruction_unusable", "The recipient has no name or no account that a bank could read.")
    terms = {
        "amount": _plain(instruction),
        "currency": instruction.currency,
        "recipient": instruction.recipient_details,
    }
    return json.dumps(terms, separators=(",", ":")).encode()


def _plain(instruction: base.Instruction) -> str:
    """Return the amount with as many decimals as its currency has, or more where it has more: nothing is rounded."""
    whole, _, decimals = f"{instruction.amount:f}".partition(".")
    decimals = decimals.rstrip("0").ljust(money.decimals_of_currency(instruction.currency), "0")
    text = f"{whole}.{decimals}" if decimals else whole
    if not money.AMOUNT.fullmatch(text):
        raise base.Rejected("instruction_unusable", "The amount is none that a bank takes.")
    return text
