from __future__ import annotations

import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rest import texts

NOT_IN_A_LINE = [
    *(chr(number) for number in (*range(0x20), *range(0x7F, 0xA0))),
    *"\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ud800\udbff\udc00\udfff",
]
BLANK = [
    "",
    *" \t\n\r\x0b\x0c\x1c\x85\u00a0\u1680\u2000\u2007\u200a\u2028\u2029\u202f\u205f\u3000",
    # Default-ignorable: of no width, fillers, joiners, variation selectors, tags, and some that are not assigned.
    *"\u00ad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200c\u200d\u200e\u200f\u2060\u2064\u2065\u206a\u3164\ufe0f\ufeff\uffa0",
    *"\ufff0\U0001bca0\U0001d173\U000e0001\U000e0041\U000e01ef\U000e0fff",
    # Drawn without ink.
    *"\u2800\U0001d159\ufffb\U00013430\uffff",
    # Marks without a letter.
    *"\u0301\u093e\u20dd",
    "\u0301\u0302",
    " \u200b\u0301\u3164\ufeff ",
]
VISIBLE = [
    *"a0-.=\u00e9\u4e2d\uac00\u0391\U0001f642\ue000\u0600",
    "e\u0301",
    "\u200bx",
    "\u0928\u093f",
    "\U0001f469\u200d\U0001f680",
    "M\u00fcller & S\u00f6hne \u682a\u5f0f\u4f1a\u793e",
]


def code_of(text: str, *, may_be_blank: bool = False) -> str | None:
    problem = texts.problem_of_line(text, may_be_blank=may_be_blank)
    return problem.code if problem else None


class TestLine:
    @pytest.mark.parametrize("character", NOT_IN_A_LINE, ids=ascii)
    def test_has_no_character_that_breaks_or_turns_it(self, character: str) -> None:
        for text in (f"a{character}b", f"{character}a", f"a{character}"):
            assert code_of(text) == "invalid_character"
            assert code_of(text, may_be_blank=True) == "invalid_character"

    def test_has_none_of_the_whole_category(self) -> None:
        controls = [chr(n) for n in range(sys.maxunicode + 1) if unicodedata.category(chr(n)) in {"Cc", "Zl", "Zp"}]

        assert [character for character in controls if code_of(f"a{character}") != "invalid_character"] == []

    def test_names_the_character(self) -> None:
        problem = texts.problem_of_line("Jane\u202eDoe")

        assert problem is not None
        assert problem.message.startswith("U+202E is not allowed: write one line, ")

    @pytest.mark.parametrize("text", BLANK, ids=ascii)
    def test_that_shows_nothing_is_blank(self, text: str) -> None:
        assert texts.is_blank(text)
        assert code_of(text) == "blank"

    @pytest.mark.parametrize("text", VISIBLE, ids=ascii)
    def test_that_shows_something_is_taken(self, text: str) -> None:
        assert code_of(text) is None
        assert not texts.is_blank(text)

    @pytest.mark.parametrize("text", ["", " ", "\u200b", "\u0301"], ids=ascii)
    def test_may_be_allowed_to_be_blank(self, text: str) -> None:
        assert code_of(text, may_be_blank=True) is None

    def test_is_made_of_the_words_of_others(self) -> None:
        assert texts.on_one_line("a\nb\x85c\u202ed") == "a b c d"


class TestForms:
    def test_that_is_stored_is_composed(self) -> None:
        assert texts.normalised("Zoe\u0308") == "Zo\u00eb"

    def test_of_earlier_versions_are_known(self) -> None:
        assert texts.spellings("Zo\u00eb") == ["Zo\u00eb", "Zoe\u0308"]
        assert texts.spellings("Zoe\u0308") == ["Zo\u00eb", "Zoe\u0308"]
        assert texts.spellings("Zoe") == ["Zoe"]

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("e\u0301", "\u00e9", True),
            ("e", "\u00e9", False),
            ({"e\u0301": "e\u0301"}, {"\u00e9": "\u00e9"}, True),
            ({"e\u0301": "1"}, {"\u00e9": "2"}, False),
            ({"a": "1"}, {"a": "1", "b": "2"}, False),
            ({"a": "1"}, "1", False),
            (10, 10, True),
            (10, "10", False),
        ],
    )
    def test_are_the_same_text(self, one: Any, other: Any, *, same: bool) -> None:
        assert texts.is_same(one, other) is same


class TestText:
    @pytest.mark.parametrize("text", ["a\nb", "a\x85b", "a\u202eb", "\t", "\u200b"], ids=ascii)
    def test_may_have_any_number_of_lines(self, text: str) -> None:
        assert texts.problem_of_text(text, may_be_blank=True) is None

    @pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\udfffa"], ids=ascii)
    def test_is_refused_if_it_cannot_be_stored(self, text: str) -> None:
        assert texts.problem_of_text(text, may_be_blank=True) == texts.UNSTORABLE

    def test_may_have_to_show_something(self) -> None:
        assert texts.problem_of_text(" \u200b\n") == texts.BLANK


class TestStorable:
    @given(st.text(alphabet=st.characters()))
    def test_is_what_postgresql_can_hold(self, text: str) -> None:
        try:
            text.encode("utf-8")
            encodable = True
        except UnicodeEncodeError:
            encodable = False

        assert texts.is_storable(text) is (encodable and "\x00" not in text)
