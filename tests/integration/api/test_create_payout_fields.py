"""Every kind of bad input in a field: 400 with the field and the code, and nothing written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.test import Client

from tests.support import factories
from tests.support.refusals import refuse

RECIPIENT = {"name": "Jane Doe", "account": "sandbox_paid"}


def refuse_fields(client: Client, **fields: Any) -> list[tuple[str, str]]:
    return refuse(client, factories.payout_body(**fields))


class TestFields:
    def test_says_everything_that_is_wrong_at_once(self, api: Client) -> None:
        errors = refuse(
            api, {"amount": "0", "currency": "eur", "recipient_details": {"name": " ", "iban": "x"}, "z": 1}
        )

        assert errors == [
            ("amount", "amount_not_positive"),
            ("currency", "unknown_currency"),
            ("recipient_details.name", "blank"),
            ("recipient_details.account", "required"),
            ("recipient_details.iban", "unknown_field"),
            ("z", "unknown_field"),
        ]

    @pytest.mark.parametrize(
        "name", ["amounts", "Amount", "id", "status", "mode", "merchant", "created_at", "provider"]
    )
    def test_refuses_unknown_field(self, api: Client, name: str) -> None:
        assert refuse_fields(api, **{name: "1"}) == [(name, "unknown_field")]

    def test_refuses_unknown_field_of_the_recipient(self, api: Client) -> None:
        errors = refuse_fields(api, recipient_details={**RECIPIENT, "iban": "DE89"})

        assert errors == [("recipient_details.iban", "unknown_field")]

    @pytest.mark.parametrize("name", ["amount", "currency", "recipient_details"])
    def test_refuses_null_for_what_is_required(self, api: Client, name: str) -> None:
        assert refuse_fields(api, **{name: None}) == [(name, "null")]

    @pytest.mark.parametrize(
        ("amount", "code"),
        [
            ("0", "amount_not_positive"),
            ("0.00", "amount_not_positive"),
            ("-1", "invalid_amount"),
            ("-0", "invalid_amount"),
            ("+1", "invalid_amount"),
            ("NaN", "invalid_amount"),
            ("sNaN", "invalid_amount"),
            ("Infinity", "invalid_amount"),
            ("1e3", "invalid_amount"),
            ("1E-2", "invalid_amount"),
            ("0x10", "invalid_amount"),
            ("1_000", "invalid_amount"),
            ("1,000.00", "invalid_amount"),
            ("10,50", "invalid_amount"),
            ("01", "invalid_amount"),
            ("00.5", "invalid_amount"),
            (".5", "invalid_amount"),
            ("5.", "invalid_amount"),
            ("1.2.3", "invalid_amount"),
            (" 1", "invalid_amount"),
            ("1\n", "invalid_amount"),
            ("", "invalid_amount"),
            ("ten", "invalid_amount"),
            # Digits that are no ASCII: Arabic-Indic, full width, superscript.
            ("\u0661\u0660", "invalid_amount"),
            ("\uff11\uff10", "invalid_amount"),
            ("1\u00b2", "invalid_amount"),
            (10, "not_a_string"),
            (10.5, "not_a_string"),
            (0, "not_a_string"),
            (True, "not_a_string"),
            (10**400, "not_a_string"),
            (["10"], "not_a_string"),
            ({"value": "10"}, "not_a_string"),
            ("1000000000000", "amount_too_large"),
            ("1000000000000.00", "amount_too_large"),
            ("9" * 5000, "amount_too_large"),
            ("10.505", "too_many_decimals"),
            ("10.500", "too_many_decimals"),
            ("999999999999.999", "too_many_decimals"),
            ("0." + "0" * 5000 + "1", "too_many_decimals"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_refuses_amount(self, api: Client, amount: Any, code: str) -> None:
        assert refuse_fields(api, amount=amount) == [("amount", code)]

    def test_refuses_float_that_is_infinite(self, api: Client) -> None:
        assert refuse(api, json.dumps(factories.payout_body(amount=0)).replace("0,", "1e999,", 1)) == [
            ("amount", "not_a_string")
        ]

    @pytest.mark.parametrize(("amount", "currency"), [("1.5", "JPY"), ("1.0", "JPY"), ("1.2345", "KWD")])
    def test_refuses_more_decimals_than_the_currency_has(self, api: Client, amount: str, currency: str) -> None:
        assert refuse_fields(api, amount=amount, currency=currency) == [("amount", "too_many_decimals")]

    @pytest.mark.parametrize(
        ("currency", "code"),
        [
            ("eur", "unknown_currency"),
            ("Eur", "unknown_currency"),
            ("EURO", "unknown_currency"),
            ("E", "unknown_currency"),
            ("ZZZ", "unknown_currency"),
            ("BTC", "unknown_currency"),
            # ISO 4217 knows them, but no amount can be paid in them: gold, testing, none.
            ("XAU", "unknown_currency"),
            ("XTS", "unknown_currency"),
            ("XXX", "unknown_currency"),
            # Funds and units of account.
            ("CLF", "unknown_currency"),
            ("UYI", "unknown_currency"),
            ("XAD", "unknown_currency"),
            # Its first letter is Cyrillic.
            ("\u0415UR", "unknown_currency"),
            ("978", "unknown_currency"),
            ("", "blank"),
            (978, "not_a_string"),
            (["EUR"], "not_a_string"),
        ],
    )
    def test_refuses_currency(self, api: Client, currency: Any, code: str) -> None:
        assert refuse_fields(api, currency=currency) == [("currency", code)]

    @pytest.mark.parametrize(
        ("details", "field", "code"),
        [
            ({"name": ""}, "name", "blank"),
            ({"name": " \u00a0 "}, "name", "blank"),
            ({"name": None}, "name", "null"),
            ({"name": 5}, "name", "not_a_string"),
            ({"name": ["Jane"]}, "name", "not_a_string"),
            ({"name": "n" * 141}, "name", "max_length"),
            ({"name": "Jane\nDoe"}, "name", "invalid_character"),
            ({"name": "Jane\x1b[31m"}, "name", "invalid_character"),
            ({"name": "Jane\u202eDoe"}, "name", "invalid_character"),
            ({"name": "Jane Doe\x85"}, "name", "invalid_character"),
            ({"name": "\u2028Jane Doe"}, "name", "invalid_character"),
            ({"name": "\u200b\u2060\ufeff"}, "name", "blank"),
            ({"name": "\u0301"}, "name", "blank"),
            ({"account": ""}, "account", "blank"),
            ({"account": "\u3164"}, "account", "blank"),
            ({"account": "DE89\u009b37"}, "account", "invalid_character"),
            ({"account": "a" * 65}, "account", "max_length"),
            ({"account": 4532013000}, "account", "not_a_string"),
            ({"bank_code": ""}, "bank_code", "blank"),
            ({"bank_code": "\u2800"}, "bank_code", "blank"),
            ({"bank_code": "COBA\u2066DEFF"}, "bank_code", "invalid_character"),
            ({"bank_code": "b" * 35}, "bank_code", "max_length"),
            ({"country": "de"}, "country", "invalid"),
            ({"country": "DEU"}, "country", "invalid"),
            ({"country": "D1"}, "country", "invalid"),
            ({"country": 49}, "country", "invalid"),
            ({"country": "UK"}, "country", "unknown_country"),
            ({"country": "ZZ"}, "country", "unknown_country"),
            ({"country": "XX"}, "country", "unknown_country"),
            ({"address": "a" * 256}, "address", "max_length"),
            ({"address": "\u00ad"}, "address", "blank"),
            ({"address": "Main St\u2029"}, "address", "invalid_character"),
        ],
    )
    def test_refuses_recipient(self, api: Client, details: dict[str, Any], field: str, code: str) -> None:
        errors = refuse_fields(api, recipient_details={**RECIPIENT, **details})

        assert errors == [(f"recipient_details.{field}", code)]

    @pytest.mark.parametrize("country", ["de", "DEU", 49])
    def test_says_how_a_country_is_written(self, api: Client, country: Any) -> None:
        body = factories.payout_body(recipient_details={**RECIPIENT, "country": country})

        response = factories.post_payout(api, body)

        assert [error["message"] for error in response.json()["errors"]] == [
            "Send two capital letters, an ISO 3166-1 alpha-2 code such as DE."
        ]

    @pytest.mark.parametrize("details", [["Jane Doe"], [], [["name", "Jane"]], 5, 1.5, 10**400, True, False])
    def test_refuses_recipient_that_is_neither_text_nor_object(self, api: Client, details: Any) -> None:
        assert refuse_fields(api, recipient_details=details) == [("recipient_details", "invalid")]

    def test_refuses_recipient_without_its_required_fields(self, api: Client) -> None:
        errors = refuse_fields(api, recipient_details={})

        assert errors == [("recipient_details.name", "required"), ("recipient_details.account", "required")]

    @pytest.mark.parametrize(
        "number",
        [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "card 4111111111111111, please",
            "4111 1111 1111 1111 12/27",
            "4222222222222",
            "6304000000000000000",
            "378282246310005",
        ],
    )
    @pytest.mark.parametrize("field", ["account", "name", "address"])
    def test_refuses_card_number(self, api: Client, field: str, number: str) -> None:
        errors = refuse_fields(api, recipient_details={**RECIPIENT, field: number})

        assert errors == [(f"recipient_details.{field}", "card_number_not_allowed")]

    @pytest.mark.parametrize(
        ("fields", "error"),
        [
            ({"comment": "c" * 501}, ("comment", "max_length")),
            ({"comment": 5}, ("comment", "not_a_string")),
            ({"comment": True}, ("comment", "not_a_string")),
            ({"reference": "r" * 256}, ("reference", "max_length")),
            ({"reference": 4711}, ("reference", "not_a_string")),
            ({"reference": "a\tb"}, ("reference", "invalid_character")),
            ({"reference": "order\u2069"}, ("reference", "invalid_character")),
            ({"reference": "order\n"}, ("reference", "invalid_character")),
            ({"metadata": {"k\u202e": "v"}}, ("metadata", "invalid_character")),
            ({"metadata": {"k\n": "v"}}, ("metadata", "invalid_character")),
            ({"metadata": {"\u200b": "v"}}, ("metadata", "blank")),
            ({"metadata": "k=v"}, ("metadata", "not_a_dict")),
            ({"metadata": [["k", "v"]]}, ("metadata", "not_a_dict")),
            ({"metadata": {"k": 1}}, ("metadata.k", "not_a_string")),
            ({"metadata": {"k": None}}, ("metadata.k", "null")),
            ({"metadata": {"k": {"deeper": "v"}}}, ("metadata.k", "not_a_string")),
            ({"metadata": {"k": 10**400}}, ("metadata.k", "not_a_string")),
            ({"metadata": {"k": "v" * 501}}, ("metadata.k", "max_length")),
            ({"metadata": {"n" * 41: "v"}}, ("metadata", "invalid_name")),
            ({"metadata": {"": "v"}}, ("metadata", "invalid_name")),
            ({"metadata": {str(number): "v" for number in range(51)}}, ("metadata", "too_many_pairs")),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_refuses_text_and_metadata(self, api: Client, fields: dict[str, Any], error: tuple[str, str]) -> None:
        assert refuse_fields(api, **fields) == [error]


class TestExpiresAt:
    @pytest.mark.parametrize(
        ("value", "code"),
        [
            (1_790_000_000, "invalid_time"),
            (["2026-12-01T12:00:00Z"], "invalid_time"),
            ("", "invalid_time"),
            ("tomorrow", "invalid_time"),
            ("2026-12-01", "invalid_time"),
            # Without an offset it is no moment.
            ("2026-12-01T12:00:00", "invalid_time"),
            ("2026-02-30T12:00:00Z", "invalid_time"),
            ("2020-01-01T00:00:00Z", "time_is_over"),
            ("0001-01-01T00:00:00+23:59", "time_is_over"),
            ("9999-12-31T23:59:59-23:59", "time_too_far"),
        ],
    )
    def test_is_refused(self, api: Client, value: Any, code: str) -> None:
        assert refuse_fields(api, expires_at=value) == [("expires_at", code)]

    @pytest.mark.parametrize(("days", "code"), [(29.99, None), (30.01, "time_too_far")])
    def test_is_at_most_thirty_days_ahead(self, api: Client, days: float, code: str | None) -> None:
        expires_at = (datetime.now(UTC) + timedelta(days=days)).isoformat()
        if code is not None:
            assert refuse_fields(api, expires_at=expires_at) == [("expires_at", code)]
            return

        response = factories.post_payout(api, factories.payout_body(expires_at=expires_at))

        assert response.status_code == 201
        assert response.json()["expires_at"] == expires_at.replace("+00:00", "Z")

    def test_is_answered_in_utc_wherever_a_payout_is(self, api: Client) -> None:
        moment = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
        body = factories.payout_body(expires_at=moment.astimezone(timezone(timedelta(hours=5, minutes=45))).isoformat())

        created = factories.post_payout(api, body).json()

        shown = moment.isoformat().replace("+00:00", "Z")
        assert created["expires_at"] == shown
        assert api.get(f"/api/payouts/{created['id']}/").json()["expires_at"] == shown
        assert api.get("/api/payouts/").json()["results"][0]["expires_at"] == shown

    def test_may_be_null(self, api: Client) -> None:
        assert factories.post_payout(api, factories.payout_body(expires_at=None)).json()["expires_at"] is None

    def test_is_part_of_what_a_key_is_for(self, api: Client) -> None:
        expires_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        factories.post_payout(api, factories.payout_body(expires_at=expires_at), key="first")

        other = factories.post_payout(api, factories.payout_body(), key="first")

        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
