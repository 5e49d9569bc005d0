from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.card_numbers import contains_card_number

# The card schemes' own numbers for tests, of each length.
CARDS = [
    "4222222222222",
    "30569309025904",
    "378282246310005",
    "4111111111111111",
    "5555555555554444",
    "2223003122003222",
    "6304000000000000000",
]


class TestContainsCardNumber:
    @pytest.mark.parametrize("number", CARDS)
    @pytest.mark.parametrize(
        "text",
        ["{0}", "card {0}", "{0}, please", "({0})", "{0} 12/27", "{0}-123", "1 {0}", "x {0}\n", "order 7 {0} 4711"],
    )
    def test_finds_it_in_a_text(self, number: str, text: str) -> None:
        assert contains_card_number(text.format(number))

    @pytest.mark.parametrize("separator", [" ", "-", "\u00a0"])
    def test_finds_it_in_groups(self, separator: str) -> None:
        assert contains_card_number(separator.join(["4111", "1111", "1111", "1111"]))
        assert contains_card_number(separator.join(["3782", "822463", "10005"]))
        assert contains_card_number(separator.join(["4111", "1111", "1111", "1111", "12"]))
        assert contains_card_number(separator.join("4111111111111111"))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "Jane Doe",
            # Fails the Luhn check.
            "4111111111111112",
            # Twelve and twenty digits that pass it.
            "411111111112",
            "41111111111111111115",
            # Part of a word.
            "A4111111111111111",
            "4111111111111111A",
            "sandbox_paid",
            "+49 30 901820",
            "2026-01-31 12:00:00",
        ],
    )
    def test_takes_nothing_else_for_one(self, text: str) -> None:
        assert not contains_card_number(text)

    @pytest.mark.parametrize(
        "iban",
        [
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "GB82 WEST 1234 5698 7654 32",
            "gb82west12345698765432",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
            "FR1420041010050500013M02606",
        ],
    )
    def test_takes_no_iban_for_one(self, iban: str) -> None:
        assert not contains_card_number(iban)

    # 80 of 100 pairs of check digits belong to no valid IBAN, which must not open a door for a card number.
    def test_is_not_fooled_by_what_only_looks_like_an_iban(self) -> None:
        assert contains_card_number("DE00 4111 1111 1111 1111")

    @given(st.text(alphabet="0123456789 -\u00a0aZ", max_size=255))
    def test_answers_for_every_text(self, text: str) -> None:
        assert contains_card_number(text) in {True, False}

    @given(st.text(alphabet="0123456789", min_size=12, max_size=18))
    def test_finds_every_number_that_is_completed_by_its_check_digit(self, digits: str) -> None:
        found = [check for check in "0123456789" if contains_card_number(digits + check)]

        assert len(found) == 1
