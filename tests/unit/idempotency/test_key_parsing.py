from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from idempotency import errors
from idempotency.keys import LENGTH_MAX, parse_address, parse_header

VISIBLE = "".join(chr(code) for code in range(33, 127))
BARE = "".join(character for character in VISIBLE if character not in '",\\')


def quoted(key: str) -> str:
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


class TestParseHeader:
    def test_is_none_without_a_header(self) -> None:
        assert parse_header(None) is None

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
        assert parse_header(header) == key

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
            parse_header(header)

        assert refusal.value.field == "Idempotency-Key"

    @given(st.text(alphabet=BARE, min_size=1, max_size=LENGTH_MAX))
    def test_both_spellings_are_the_same_key(self, key: str) -> None:
        assert parse_header(key) == parse_header(quoted(key)) == key

    @given(st.text(alphabet=VISIBLE + " ", min_size=1, max_size=LENGTH_MAX))
    def test_every_printable_key_can_be_quoted(self, key: str) -> None:
        assert parse_header(quoted(key)) == key

    @given(st.text() | st.text(alphabet='"\\, ab'))
    @example('"\\')
    def test_either_refuses_or_returns_what_can_be_stored(self, header: str) -> None:
        try:
            key = parse_header(header)
        except errors.IdempotencyKeyMalformed:
            return

        assert key is not None
        assert 1 <= len(key) <= LENGTH_MAX
        assert all(32 <= ord(character) < 127 for character in key)


class TestParseAddress:
    @pytest.mark.parametrize(
        ("text", "key"),
        [
            ("order-1", "order-1"),
            ('"order-1"', "order-1"),
            # The header has to quote these; in an address they may stand as they are.
            ("a b", "a b"),
            ('"a b"', "a b"),
            (" ", " "),
            ("a,b", "a,b"),
            ("a/b", "a/b"),
            ('a"b', 'a"b'),
            (r"a\b", r"a\b"),
            # What could be either is taken for the quoted spelling.
            (r'"a\"b"', 'a"b'),
        ],
    )
    def test_takes_every_key_in_either_spelling(self, text: str, key: str) -> None:
        assert parse_address(text) == key

    @pytest.mark.parametrize("text", ["", '""', "k" * 256, "caf\u00e9", "a\x00b", "a\nb", "\u0661", "\x7f"])
    def test_is_none_for_what_can_be_no_key(self, text: str) -> None:
        # Two quotes are two printable characters, and so a key that the header can be sent with.
        assert parse_address(text) == ('""' if text == '""' else None)

    @given(st.text(alphabet=VISIBLE + " ", min_size=1, max_size=LENGTH_MAX))
    def test_finds_every_key_by_its_quoted_spelling(self, key: str) -> None:
        assert parse_address(quoted(key)) == parse_header(quoted(key)) == key
