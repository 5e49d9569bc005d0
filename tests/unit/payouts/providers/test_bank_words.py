from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.providers import redaction

IBAN = "DE89370400440532013000"


@pytest.mark.parametrize(
    ("text", "hidden", "expected"),
    [
        ("", [IBAN], ""),
        ("The account is closed.", [IBAN], "The account is closed."),
        # On one line, whatever it has been.
        ("a\r\n\tb\x00c\x1b[31m \u202e d\u2028e", [], "a b c [31m d e"),
        (f"Account {IBAN} is closed.", [IBAN], "Account *** is closed."),
        # However it is spelt.
        ("DE89 3704 0044 0532 0130 00 is closed", [IBAN], "*** is closed"),
        ("de89370400440532013000 is closed", ["DE89 3704 0044 0532 0130 00"], "*** is closed"),
        ("To JANE  DOE, Jane Doe", ["Jane Doe"], "To ***, ***"),
        ("aaaaaaaaa", ["aaaa"], "******a"),
        # A country is a word like others.
        ("The bank in DE is closed.", ["DE", ""], "The bank in DE is closed."),
        ("İstanbul, istanbul", ["İstanbul"], "***, istanbul"),
        ("half \ud800 of it", [], "half of it"),
    ],
)
def test_are_presentable(text: str, hidden: list[str], expected: str) -> None:
    assert redaction.presentable(text, hidden=hidden, length_max=200) == expected


def test_are_hidden_before_they_are_cut() -> None:
    text = "x" * 10 + IBAN

    assert redaction.presentable(text, hidden=[IBAN], length_max=15) == "x" * 10 + "***"


@given(st.text(), st.lists(st.text()), st.integers(0, 50))
def test_are_short_and_printable(text: str, hidden: list[str], length_max: int) -> None:
    words = redaction.presentable(text, hidden=hidden, length_max=length_max)

    assert len(words) <= length_max
    assert words.isprintable()


@given(st.text(), st.text(min_size=4).filter(lambda value: len("".join(value.split())) >= 4), st.text())
def test_never_carry_what_is_hidden(before: str, value: str, after: str) -> None:
    value = " ".join("".join(character for character in value if character.isprintable()).split())
    words = redaction.presentable(before + value + after, hidden=[value], length_max=10_000)

    if len("".join(value.split())) >= redaction.HIDDEN_LENGTH_MIN and "*" not in value:
        assert value not in words
