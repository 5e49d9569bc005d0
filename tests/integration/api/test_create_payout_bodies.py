"""A request that is no JSON object in UTF-8, or more than that: 400 or 415, and nothing written."""

from __future__ import annotations

import gzip
import json

import pytest
from django.test import Client

from tests.support import answers, factories
from tests.support.refusals import refuse

URL = "/api/payouts/"


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
