from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.conf import settings
from hypothesis import example, given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError, ValidationError

from rest import parsers

LIMIT = settings.DATA_UPLOAD_MAX_MEMORY_SIZE

STORABLE = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STORABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STORABLE, inner, max_size=4),
    max_leaves=12,
)
# Bytes that look like JSON, and so get further than most.
NEARLY_JSON = st.text(alphabet='{}[]",:\\ud80tfnull01e-+.N \n').map(lambda text: text.encode())


class Stream(io.BytesIO):
    """Remembers how much was asked for."""

    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert size >= 0, "Everything at once: a body without end would fill the memory."
        self.asked += size
        return super().read(size)


def parse(body: bytes) -> dict[str, Any]:
    return parsers.StrictJSONParser().parse(Stream(body))


def refusal(body: bytes) -> Any:
    """Return {field: code} of the refusal, or the kind of ParseError."""
    with pytest.raises((ParseError, ValidationError)) as raised:
        parse(body)
    error = raised.value
    if isinstance(error, ParseError):
        return "malformed"
    detail: Any = error.detail
    return {field: errors[0].code for field, errors in detail.items()}


class TestStrictJSONParser:
    def test_parses(self) -> None:
        assert parse(b'{"a": [1, 2.5, null, true, "x"], "b": {"c": ""}}') == {
            "a": [1, 2.5, None, True, "x"],
            "b": {"c": ""},
        }

    @given(st.dictionaries(STORABLE, VALUES, max_size=5))
    def test_returns_what_was_written(self, data: dict[str, Any]) -> None:
        for ensure_ascii in (True, False):
            assert parse(json.dumps(data, ensure_ascii=ensure_ascii).encode()) == data

    @given(st.binary() | NEARLY_JSON | NEARLY_JSON.map(lambda inner: b'{"a":' + inner + b"}"))
    @example(b'{"\\ud800": 1, "\\ud800": 2}')
    @example(b'{"a":' + b"[" * 60_000)
    @example(b'{"a":' * 10_000)
    @example(b'{"a":' + b"9" * 60_000 + b"}")
    @example(b'{"a": 1e999}')
    def test_refuses_or_returns_an_object(self, body: bytes) -> None:
        try:
            answer: Any = parse(body)
        except (ParseError, ValidationError) as error:
            answer = {"refused": error.detail}

        assert isinstance(answer, dict)
        # The refusal can be written as an answer, and what was taken can be stored.
        assert json.dumps(answer, ensure_ascii=False).encode()

    # Halves that come second, so that two of them make no whole pair.
    @given(st.text(alphabet="\x00\udc00\udfff", min_size=1), STORABLE, STORABLE)
    def test_refuses_what_cannot_be_stored_wherever_it_stands(self, bad: str, before: str, after: str) -> None:
        text = before + bad + after
        for data in ({text: 1}, {"a": text}, {"a": [{"b": [text]}]}, {"a": {"b": {text: 1}}}):
            body = json.dumps(data, ensure_ascii=True).encode()
            assert list(refusal(body).values()) == ["invalid_character"]

    def test_reads_no_more_than_it_needs(self) -> None:
        stream = Stream(b" " * 10 * LIMIT)

        with pytest.raises(ValidationError):
            parsers.StrictJSONParser().parse(stream)

        assert stream.asked == LIMIT + 1

    def test_takes_a_body_of_just_the_limit(self) -> None:
        body = b"{" + b" " * (LIMIT - 2) + b"}"

        assert parse(body) == {}
        assert refusal(body + b" ") == {"body": "body_too_large"}

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", "malformed"),
            (b"{", "malformed"),
            (b"\xff", "malformed"),
            (b'{"a": NaN}', "malformed"),
            (b'{"a": Infinity}', "malformed"),
            (b"[]", {"body": "not_an_object"}),
            (b"null", {"body": "not_an_object"}),
            (b'{"a": 1, "a": 1}', {"a": "duplicate_key"}),
            (b'{"x": {"a": 1, "a": 2}}', {"a": "duplicate_key"}),
            (b'{"a": 1, "\\u0061": 1}', {"a": "duplicate_key"}),
            (b'{"a": {"b": ["\\u0000"]}}', {"a.b.0": "invalid_character"}),
            (b'{"a": {"\\ud800": 1}}', {"a": "invalid_character"}),
        ],
    )
    def test_names_the_field(self, body: bytes, expected: Any) -> None:
        assert refusal(body) == expected

    @pytest.mark.parametrize("depth", [parsers.DEPTH_MAX, parsers.DEPTH_MAX + 1])
    def test_has_a_limit_of_depth(self, depth: int) -> None:
        # The object that holds it is the first level, the number within is one more.
        body = b'{"a":' * (depth - 1) + b"1" + b"}" * (depth - 1)

        if depth <= parsers.DEPTH_MAX:
            assert "a" in parse(body)
        else:
            assert refusal(body) == "malformed"
