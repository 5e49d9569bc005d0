"""The provider as far as it can be tried without a connection."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.providers import base
from payouts.providers.base import ReportKind
from payouts.providers.http_bank import provider as http_bank
from payouts.providers.http_bank import transport
from payouts.providers.http_bank.provider import Configuration, HttpBankProvider
from tests.unit.payouts.providers import banks
from tests.unit.payouts.providers.banks import CALLBACK_SECRET, CAPABILITIES, INSTRUCTION, as_json, transfer

NOW = 1_700_000_000.5
URL = "https://bank.example/v1"


def configured(**changes: Any) -> Configuration:
    return Configuration(**{"base_url": URL, "capabilities": CAPABILITIES, "bearer_token": "t", **changes})


def provider(**changes: Any) -> HttpBankProvider:
    return HttpBankProvider(configured(**{"callback_secrets": (CALLBACK_SECRET, "new"), **changes}), clock=lambda: NOW)


class TestConfiguration:
    def test_is_what_the_bank_promises(self) -> None:
        assert provider().name == "http_bank"
        assert provider().capabilities == replace(CAPABILITIES, recipient_fields_required=("name", "account"))

    def test_shows_no_secret(self) -> None:
        shown = repr(configured(bearer_token="", signing_secret="hush-1", callback_secrets=("hush-2",)))

        assert "hush" not in shown
        assert "hush" not in repr(configured(bearer_token="hush-3"))

    @pytest.mark.parametrize(
        ("changes", "names"),
        [
            ({"base_url": ""}, ["PAYOUTS_HTTP_BANK_URL"]),
            ({"base_url": "https://user:hush@bank.example"}, ["PAYOUTS_HTTP_BANK_URL"]),
            ({"identity": "the bank"}, ["PAYOUTS_HTTP_BANK_ID"]),
            ({"identity": "b" * 65}, ["PAYOUTS_HTTP_BANK_ID"]),
            ({"bearer_token": ""}, ["PAYOUTS_HTTP_BANK_TOKEN", "PAYOUTS_HTTP_BANK_SECRET"]),
            ({"signing_secret": "hush"}, ["PAYOUTS_HTTP_BANK_TOKEN", "PAYOUTS_HTTP_BANK_SECRET"]),
            ({"bearer_token": "hush hush"}, ["PAYOUTS_HTTP_BANK_TOKEN"]),
            ({"bearer_token": "hush\r\nX-Y: z"}, ["PAYOUTS_HTTP_BANK_TOKEN"]),
            ({"bearer_token": "hüsh"}, ["PAYOUTS_HTTP_BANK_TOKEN"]),
            ({"bearer_token": "", "signing_secret": "hush\ud800"}, ["PAYOUTS_HTTP_BANK_SECRET"]),
            ({"bearer_token": "", "signing_secret": "hush\n"}, ["PAYOUTS_HTTP_BANK_SECRET"]),
            ({"callback_secrets": ("whsec_hush!",)}, ["PAYOUTS_HTTP_BANK_CALLBACK_SECRET"]),
            ({"callback_secrets": ("fine", "")}, ["PAYOUTS_HTTP_BANK_CALLBACK_SECRET"]),
            ({"callback_secrets": ("hush-1", "hush-2", "hush-3")}, ["PAYOUTS_HTTP_BANK_CALLBACK_SECRET"]),
            ({"ca_file": "/nowhere/authorities.pem"}, ["PAYOUTS_HTTP_BANK_CA_BUNDLE"]),
            ({"ca_file": __file__}, ["PAYOUTS_HTTP_BANK_CA_BUNDLE"]),
            ({"timeout_seconds": 0}, ["PAYOUTS_PROVIDER_TIMEOUT_SECONDS"]),
            ({"timeout_seconds": -1.0}, ["PAYOUTS_PROVIDER_TIMEOUT_SECONDS"]),
            ({"timeout_seconds": float("nan")}, ["PAYOUTS_PROVIDER_TIMEOUT_SECONDS"]),
            ({"timeout_seconds": float("inf")}, ["PAYOUTS_PROVIDER_TIMEOUT_SECONDS"]),
        ],
    )
    def test_says_what_to_set(self, changes: dict[str, Any], names: list[str]) -> None:
        with pytest.raises(ValueError, match="PAYOUTS_") as problem:
            configured(**changes)

        assert re.findall(r"PAYOUTS_\w+", str(problem.value)) == names
        assert str(problem.value).endswith(".")
        assert "hush" not in str(problem.value)
        # Nor in what a traceback shows besides it.
        assert problem.value.__cause__ is None
        assert problem.value.__suppress_context__ or problem.value.__context__ is None

    @pytest.mark.parametrize(("total", "timeouts"), [(30.0, (3.0, 20.0)), (15.0, (1.5, 10.0)), (300.0, (3.0, 200.0))])
    def test_derives_the_time_outs(self, total: float, timeouts: tuple[float, ...]) -> None:
        connect, step = timeouts

        assert transport.timeout_within(total) == httpx.Timeout(connect=connect, read=step, write=step, pool=step)


class TestOrder:
    @pytest.mark.parametrize(
        ("amount", "currency", "expected"),
        [
            ("10.5000", "EUR", "10.50"),
            ("10", "EUR", "10.00"),
            ("10.0000", "JPY", "10"),
            ("1000", "JPY", "1000"),
            ("1E+3", "EUR", "1000.00"),
            ("10.5", "KWD", "10.500"),
            ("0.0001", "CLF", "0.0001"),
            ("999999999999.9999", "CLF", "999999999999.9999"),
            # Never rounded: more decimals than the currency has are the bank's to refuse.
            ("10.505", "EUR", "10.505"),
            ("10.5", "JPY", "10.5"),
            # Has left ISO 4217.
            ("10.5", "XYZ", "10.5000"),
        ],
    )
    def test_has_the_amount_in_plain_decimals(self, amount: str, currency: str, expected: str) -> None:
        order = http_bank._order(banks.instruction(amount=Decimal(amount), currency=currency))

        assert json.loads(order)["amount"] == expected

    @given(st.decimals(min_value=0, max_value=Decimal("999999999999.9999"), places=4), st.sampled_from(["EUR", "JPY"]))
    def test_never_has_another_amount(self, amount: Decimal, currency: str) -> None:
        order = http_bank._order(banks.instruction(amount=abs(amount), currency=currency))

        assert Decimal(json.loads(order)["amount"]) == amount

    @pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "-Infinity", "sNaN"])
    def test_is_not_made_with_what_is_no_amount(self, amount: str) -> None:
        with pytest.raises(base.Rejected) as refusal:
            http_bank._order(banks.instruction(amount=Decimal(amount)))

        assert refusal.value.code == "instruction_unusable"

    @pytest.mark.parametrize("recipient", ["Card ****1234", "name, account", "", {}, {"name": "Jane Doe"}])
    def test_has_a_recipient_with_name_and_account_or_is_not_sent(self, recipient: Any) -> None:
        """Nobody listens at the address: what is sent to it ends as Unavailable."""
        bank = banks.provider("http://127.0.0.1:9")

        with pytest.raises(base.Rejected) as refusal:
            bank.send(banks.instruction(recipient_details=recipient))

        assert refusal.value.code == "instruction_unusable"
        assert refusal.value.message == "The recipient has no name or no account that a bank could read."

    def test_can_be_asked_about_whatever_its_recipient_is(self) -> None:
        with pytest.raises(base.Unavailable) as refusal:
            banks.provider("http://127.0.0.1:9").ask(banks.instruction(recipient_details="Card ****1234"))

        assert refusal.value.code != "instruction_unusable"

    def test_has_the_recipient_as_it_is(self) -> None:
        details = {"name": "Zo\u00eb \u5c71\u7530 \U0001f642", "account": "1", "bank_code": "X", "address": 'a"\n\\'}

        order = http_bank._order(banks.instruction(recipient_details=details))

        assert order.isascii()
        assert json.loads(order)["recipient"] == details


def callback(body: bytes, *, secret: bytes = b"new", at: int = int(NOW)) -> dict[str, str]:
    digest = hmac.new(secret, f"ev_1.{at}.".encode() + body, hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    return {"webhook-id": "ev_1", "webhook-timestamp": str(at), "webhook-signature": f"v1,{signature}"}


READER = provider(base_url="http://bank.example")


class TestCallback:
    BODY = as_json({"type": "transfer.updated", "transfer": transfer(code="c", message=f"by t{'x' * 300}")})

    def test_is_authenticated_and_read(self) -> None:
        told = provider().parse_callback(self.BODY)

        assert provider().authenticate_callback(callback(self.BODY), self.BODY) == "ev_1"
        assert (told.reference, told.amount, told.currency) == (INSTRUCTION.reference, Decimal("10.50"), "EUR")
        assert (told.report.kind, told.report.provider_reference) == (ReportKind.PAID, "tr_1")
        assert (told.report.code, len(told.report.message), told.report.is_final) == ("c", 200, True)

    def test_may_be_signed_with_any_of_the_secrets(self) -> None:
        decoded = base64.b64decode(CALLBACK_SECRET.removeprefix("whsec_"))
        for secret in (b"new", decoded):
            assert provider().authenticate_callback(callback(self.BODY, secret=secret), self.BODY) == "ev_1"
        with pytest.raises(base.CallbackRefused):
            provider().authenticate_callback(callback(self.BODY, secret=CALLBACK_SECRET.encode()), self.BODY)

    @pytest.mark.parametrize("seconds", [-301, 302])
    def test_is_refused_at_another_time(self, seconds: int) -> None:
        with pytest.raises(base.CallbackRefused):
            provider().authenticate_callback(callback(self.BODY, at=int(NOW) + seconds), self.BODY)

    def test_is_refused_where_no_secret_is_set(self) -> None:
        with pytest.raises(base.CallbackRefused, match="PAYOUTS_HTTP_BANK_CALLBACK_SECRET is not set"):
            provider(callback_secrets=()).authenticate_callback(callback(self.BODY, secret=b""), self.BODY)

    @given(st.binary())
    def test_is_unreadable_whatever_comes(self, body: bytes) -> None:
        with pytest.raises(base.CallbackUnreadable, match="The bank's callback cannot be read: "):
            READER.parse_callback(body)


class TestIdentity:
    def test_is_that_of_the_settings(self) -> None:
        assert provider(identity="bank-1").identity == "bank-1"

    def test_is_made_of_the_address_without_one(self) -> None:
        addresses = ["https://a.example/v1", "https://a.example/v1/", "https://a.example/v2", "https://b.example/v1"]

        identities = [provider(base_url=address).identity for address in addresses]

        # A slash at the end makes no other address.
        assert identities[0] == identities[1] == "url-280c554212585408"
        assert len(set(identities)) == 3

    @pytest.mark.parametrize("identity", ["b" * 64, "Bank-1_eu.west"])
    def test_fits_its_column(self, identity: str) -> None:
        assert provider(identity=identity).identity == identity
