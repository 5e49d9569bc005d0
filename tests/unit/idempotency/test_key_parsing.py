from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from idempotency import errors
from idempotency.models import KEY_LENGTH_MAX
from idempotency.services import parse_key

VISIBLE = "".join(chr(code) for code in range(33, 127))
BARE = "".join(character for character in VISIBLE if character not in '",\\')


def quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


class TestParseKey:
    def test_is_none_without_a_header(self) -> None:
        assert parse_key(None) is None

    @pytest.mark.parametrize(
        ("header", "key"),
        [
            ("order-1", "order-1"),
            ("  order-1\t", "order-1"),
            ('"order-1"', "order-1"),
            ('"a, b"', "a, b"),
            (r'"a\"b\\c"', r'a"b\c'),
            ('" "', " "),
            ("k" * 255, "k" * 255),
            ('"' + "k" * 255 + '"', "k" * 255),
            ('"' + '\\"' * 255 + '"', '"' * 255),
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            (BARE, BARE),
        ],
    )
    def test_takes_both_spellings(self, header: str, key: str) -> None:
        assert parse_key(header) == key

    @pytest.mark.parametrize(
        "header",
        [
            "",
            " ",
            '""',
            '"',
            "a b",
            # Two headers arrive like this.
            "a, b",
            '"a", "b"',
            "a,a",
            'a"b',
            '"a"b"',
            '"a',
            'a"',
            '"a";x=1',
            "a\\b",
            r'"a\b"',
            '"a\\"',
            "k" * 256,
            '"' + "k" * 256 + '"',
            "caf\u00e9",
            '"caf\u00e9"',
            "a\x00b",
            "a\nb",
            '"a\nb"',
            "a\x7f",
            "\u0661",
        ],
    )
    def test_refuses_everything_else(self, header: str) -> None:
        with pytest.raises(errors.IdempotencyKeyMalformed) as refusal:
            parse_key(header)

        assert refusal.value.field == "Idempotency-Key"

    @given(st.text(alphabet=BARE, min_size=1, max_size=KEY_LENGTH_MAX))
    def test_both_spellings_are_the_same_key(self, key: str) -> None:
        assert parse_key(key) == parse_key(quoted(key)) == key

    @given(st.text(alphabet=VISIBLE + " ", min_size=1, max_size=KEY_LENGTH_MAX))
    def test_every_printable_key_can_be_quoted(self, key: str) -> None:
        assert parse_key(quoted(key)) == key

    @given(st.text() | st.text(alphabet='"\\, ab'))
    @example('"\\')
    def test_either_refuses_or_returns_what_can_be_stored(self, header: str) -> None:
        try:
            key = parse_key(header)
        except errors.IdempotencyKeyMalformed:
            return

        assert key is not None
        assert 1 <= len(key) <= KEY_LENGTH_MAX
        assert all(32 <= ord(character) < 127 for character in key)
