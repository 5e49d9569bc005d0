"""Every kind of bad input: 400 with the field and the code, and nothing written."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from django.test import Client

from tests.support import answers, factories

URL = "/api/payouts/"
RECIPIENT = {"name": "Jane Doe", "account": "sandbox_paid"}


def refuse(client: Client, body: Any) -> list[tuple[str, str]]:
    """Send the body with a key and without; return the errors of the answer, which must be the same for both."""
    responses = [factories.post_payout(client, body, key=key) for key in ("first", None)]
    assert [answers.code(response) for response in responses] == [(400, "invalid_request")] * 2
    assert answers.rows_written() == answers.NOTHING
    found = [answers.field_errors(response) for response in responses]
    assert found[0] == found[1]
    return found[0]


def refuse_fields(client: Client, **fields: Any) -> list[tuple[str, str]]:
    return refuse(client, factories.payout_body(**fields))


class TestBody:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            ('{"amount": ', "malformed_json"),
            ("{'amount': 1}", "malformed_json"),
            ('{"amount": "1",}', "malformed_json"),
            ('{"amount": "1"} {"amount": "2"}', "malformed_json"),
            ('{"amount": NaN}', "malformed_json"),
            ('{"amount": -Infinity}', "malformed_json"),
            ('{"amount": 01}', "malformed_json"),
            ('{"comment": "raw\nline feed"}', "malformed_json"),
            (b'{"comment": "\xff"}', "malformed_json"),
            # UTF-8 of half a surrogate pair, of NUL in two bytes, and a byte order mark that stands alone.
            (b'{"comment": "\xed\xa0\x80"}', "malformed_json"),
            (b'{"comment": "\xc0\x80"}', "malformed_json"),
            (b"\xef\xbb\xbf", "malformed_json"),
            ("{}".encode("utf-16"), "malformed_json"),
            ('{"amount": ' + "9" * 5000 + "}", "malformed_json"),
            (" ", "malformed_json"),
            ("[]", "not_an_object"),
            ('[{"amount": "1"}]', "not_an_object"),
            ('"text"', "not_an_object"),
            ("17", "not_an_object"),
            ("null", "not_an_object"),
        ],
    )
    def test_refuses_what_is_no_json_object(self, api: Client, body: str | bytes, code: str) -> None:
        assert refuse(api, body) == [("body", code)]

    def test_refuses_empty_body(self, api: Client) -> None:
        required = [("amount", "required"), ("currency", "required"), ("recipient_details", "required")]

        assert refuse(api, "") == required
        assert refuse(api, "{}") == required

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "text/json",
            "application/jsonp",
            "application/merge-patch+json",
            "application/vnd.api+json",
            "",
            ";",
            "*/*",
            "application/*",
            "*",
            "json",
            "application/json, application/json",
            "application/json, text/plain",
            "application/json; charset=utf-8, text/plain",
            "application/json; charset=latin-1",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8-sig",
            "application/json; charset=",
            "application/json; charset=hex",
        ],
    )
    def test_refuses_other_content_type(self, api: Client, content_type: str) -> None:
        body = json.dumps(factories.payout_body())

        response = api.generic("POST", URL, body, content_type=content_type, headers={"Idempotency-Key": "first"})

        assert answers.code(response) == (415, "unsupported_media_type")
        assert response.headers["Accept-Post"] == "application/json"
        assert "errors" not in response.json()
        assert answers.rows_written() == answers.NOTHING

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=UTF-8",
            'application/json ; CHARSET="Utf-8"',
            "application/json; charset=us-ascii",
            "application/json;",
            "application/json; version=1; profile=x",
        ],
    )
    def test_takes_every_spelling_of_json(self, api: Client, content_type: str) -> None:
        assert api.post(URL, json.dumps(factories.payout_body()), content_type=content_type).status_code == 201

    @pytest.mark.parametrize(
        "coding",
        ["gzip", "br", "deflate", "zstd", "x-gzip", "GZIP", "identity, gzip", "gzip, gzip", "aes128gcm", "utf-8", "*"],
    )
    def test_refuses_a_coded_body(self, api: Client, coding: str) -> None:
        body = gzip.compress(json.dumps(factories.payout_body()).encode())

        for sent in (body, json.dumps(factories.payout_body()).encode()):
            response = factories.post_payout(api, sent, key="first", **{"Content-Encoding": coding})

            assert answers.code(response) == (415, "unsupported_content_encoding")
            assert response.headers["Accept-Encoding"] == "identity"
        assert answers.rows_written() == answers.NOTHING

    @pytest.mark.parametrize("coding", ["identity", "Identity", "", "identity, identity", " ,"])
    def test_takes_a_body_that_is_said_to_be_plain(self, api: Client, coding: str) -> None:
        assert factories.post_payout(api, **{"Content-Encoding": coding}).status_code == 201

    def test_takes_a_byte_order_mark_for_nothing(self, api: Client) -> None:
        body = json.dumps(factories.payout_body(comment="Zo\u00eb"), ensure_ascii=False)

        first = factories.post_payout(api, f"\ufeff{body}".encode(), key="first")
        again = factories.post_payout(api, body.encode(), key="first")

        assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
        assert again.headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
    def test_refuses_other_encodings(self, api: Client, encoding: str) -> None:
        body = json.dumps(factories.payout_body(comment="Zo\u00eb"), ensure_ascii=False).encode(encoding)

        assert refuse(api, body) == [("body", "malformed_json")]

    def test_refuses_a_second_byte_order_mark(self, api: Client) -> None:
        assert refuse(api, f"\ufeff\ufeff{json.dumps(factories.payout_body())}".encode()) == [
            ("body", "malformed_json")
        ]

    def test_refuses_body_over_the_limit(self, api: Client) -> None:
        body = json.dumps(factories.payout_body())
        largest = body + " " * (64 * 1024 - len(body))

        assert refuse(api, largest + " ") == [("body", "body_too_large")]
        assert refuse(api, factories.payout_body(comment="c" * 70_000)) == [("body", "body_too_large")]
        assert factories.post_payout(api, largest).status_code == 201

    def test_does_not_believe_the_content_length(self, api: Client) -> None:
        body = json.dumps(factories.payout_body())

        cut_off = api.generic("POST", URL, body, content_type="application/json", CONTENT_LENGTH="20")

        assert answers.field_errors(cut_off) == [("body", "malformed_json")]
        assert answers.rows_written() == answers.NOTHING

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ('{"amount": "1", "amount": "1"}', "amount"),
            ('{"recipient_details": {"name": "a", "account": "b", "name": "c"}}', "name"),
            ('{"metadata": {"k": "1", "\\u006b": "2"}}', "k"),
            ('{"x": [{"deep": {"y": 1, "y": 1}}]}', "y"),
            ('{"": 1, "": 2}', "body"),
            # The name cannot stand in the answer.
            ('{"\\ud800": 1, "\\ud800": 2}', "body"),
            ('{"\\u0000": 1, "\\u0000": 2}', "body"),
        ],
    )
    def test_refuses_name_that_stands_twice(self, api: Client, body: str, field: str) -> None:
        assert refuse(api, body) == [(field, "duplicate_key")]

    @pytest.mark.parametrize("character", ["\\u0000", "\\ud800", "\\udfff", "\\udc00\\ud800"])
    @pytest.mark.parametrize(
        ("template", "field"),
        [
            ('{"comment": "a%sb"}', "comment"),
            ('{"recipient_details": {"name": "a%s"}}', "recipient_details.name"),
            ('{"metadata": {"k": "%s"}}', "metadata.k"),
            ('{"metadata": {"k%s": "v"}}', "metadata"),
            ('{"%s": 1}', "body"),
            ('{"unknown": [1, ["%s"]]}', "unknown.1.0"),
        ],
    )
    def test_refuses_text_that_cannot_be_stored(self, api: Client, template: str, field: str, character: str) -> None:
        assert refuse(api, template % character) == [(field, "invalid_character")]

    def test_takes_whole_surrogate_pair(self, api: Client) -> None:
        body = json.dumps(factories.payout_body(comment="🙂"), ensure_ascii=True)

        assert "\\ud83d\\ude42" in body
        assert factories.post_payout(api, body).json()["comment"] == "🙂"

    @pytest.mark.parametrize("depth", [32, 33, 200, 500, 900, 5_000, 30_000])
    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    def test_refuses_deep_nesting(self, api: Client, depth: int, opening: str, closing: str) -> None:
        depth = min(depth, 60_000 // len(opening + closing))
        body = '{"comment":' + opening * depth + ("1" if closing == "}" else "") + closing * depth + "}"

        assert refuse(api, body) == [("body", "malformed_json")]

    # Around Python's own limit each step may be the one that fails; none may answer 500.
    def test_refuses_each_depth_around_the_limit_of_python(self, api: Client) -> None:
        for depth in range(900, 1000, 3):
            response = factories.post_payout(api, '{"comment":' + "[" * depth + "]" * depth + "}")
            assert answers.field_errors(response) == [("body", "malformed_json")]
        assert answers.rows_written() == answers.NOTHING


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


class TestParameters:
    @pytest.mark.parametrize("query", ["?amount=1", "?page_size=10", "?x"])
    def test_refuses_every_parameter(self, api: Client, query: str) -> None:
        response = api.post(
            f"{URL}{query}",
            factories.payout_body(),
            content_type="application/json",
            headers={"Idempotency-Key": "first"},
        )

        assert answers.field_errors(response) == [(query.strip("?").split("=")[0], "unknown_parameter")]
        assert answers.rows_written() == answers.NOTHING
