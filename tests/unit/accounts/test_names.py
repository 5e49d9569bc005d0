from __future__ import annotations

import unicodedata
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import names

ID = uuid.UUID("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f")


class TestKey:
    @pytest.mark.parametrize(
        ("name", "other"),
        [
            ("Acme", "ACME"),
            ("Acme  Ltd", " acme\u00a0\u3000ltd "),
            # The sigma at a word's end, and the capital, with and without its own code point for the accent.
            ("\u039d\u03af\u03ba\u03bf\u03c2", "\u039d\u038a\u039a\u039f\u03a3"),
            ("\u039d\u03af\u03ba\u03bf\u03c2", "\u039d\u0399\u0301\u039a\u039f\u03a3"),
            ("M\u00fcller", "Mu\u0308ller"),
            ("Stra\u00dfe", "STRASSE"),
            ("\uff21\uff43\uff4d\uff45", "acme"),
            ("\uff76\uff9e", "\u30ac"),
            ("of\ufb01ce", "office"),
            # What an earlier version took.
            ("ac\u200bme", "acme"),
            ("\ufeffacme\u00ad", "acme"),
        ],
        ids=ascii,
    )
    def test_is_one_for_all_spellings(self, name: str, other: str) -> None:
        assert names.key_of(name) == names.key_of(other)

    @pytest.mark.parametrize(
        ("name", "other"),
        [
            # The letter without a dot is another letter, although PostgreSQL writes both I in capitals.
            ("Kirmizi", "K\u0131rm\u0131z\u0131"),
            ("acme", "acm\u00e9"),
            ("acme", "a c m e"),
            # A Cyrillic letter.
            ("acme", "\u0430cme"),
            ("acme", "acm_"),
        ],
        ids=ascii,
    )
    def test_differs_for_different_names(self, name: str, other: str) -> None:
        assert names.key_of(name) != names.key_of(other)

    @given(st.text(max_size=100))
    def test_is_short_enough_for_an_index(self, name: str) -> None:
        assert len(names.key_of(name)) <= names.KEY_LENGTH_MAX

    @pytest.mark.parametrize("name", ["\ufdfa" * 100, "\ud800" + "\ufdfa" * 99], ids=["ligatures", "no text"])
    def test_of_many_ligatures_is_short_enough_for_an_index(self, name: str) -> None:
        assert len(names.key_of(name)) == 64

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
    def test_is_one_for_both_normal_forms(self, name: str) -> None:
        forms = {names.key_of(unicodedata.normalize(form, name)) for form in ("NFC", "NFD", "NFKC", "NFKD")}

        assert forms == {names.key_of(name)}


class TestProblem:
    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("", "blank"),
            ("\u3164", "blank"),
            ("a\nb", "invalid_character"),
            ("a\u202eb", "invalid_character"),
            ("ac\u200bme", "invalid_character"),
            ("acme\u00ad", "invalid_character"),
            (str(ID), "looks_like_id"),
            (str(ID).upper(), "looks_like_id"),
            (f" {ID.hex} ", "looks_like_id"),
            (f"{{{ID}}}", "looks_like_id"),
            (ID.urn, "looks_like_id"),
            # Digits of full width.
            (ID.hex.translate({0x30 + digit: 0xFF10 + digit for digit in range(10)}), "looks_like_id"),
            (ID.hex.translate({ord("a"): "\uff41"}), "looks_like_id"),
        ],
        ids=ascii,
    )
    def test_says_why_no_merchant_can_have_the_name(self, name: str, code: str) -> None:
        problem = names.problem_of(name)

        assert problem is not None
        assert problem.code == code

    @pytest.mark.parametrize("name", ["acme", "M\u00fcller & S\u00f6hne \u682a\u5f0f\u4f1a\u793e", ID.hex[:31], "1"])
    def test_finds_nothing_wrong_with_a_name(self, name: str) -> None:
        assert names.problem_of(name) is None
