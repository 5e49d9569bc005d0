from __future__ import annotations

import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.api import account_numbers, card_numbers
from payouts.api.card_numbers import contains_card_number

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
# ... and of each brand that begins with 2 to 6.
BRANDS = {
    "American Express": ["371449635398431", "378734493671000", "341111111111111"],
    "Dankort": ["5019717010103742"],
    "Diners Club": ["38520000023237", "36227206271667", "36700102000000"],
    "Discover": ["6011111111111117", "6011000990139424", "6445644564456445", "6011981111111113"],
    "Elo": ["6362970000457013", "5066991111111118", "6516540000000009"],
    "Hipercard": ["6062826786276634", "3841001111222233338"],
    "JCB": ["3530111333300000", "3566002020360505", "3566111111111113"],
    "Maestro": ["6759649826438453", "5018000000000009", "6771798021000008", "50339619890917", "586824160825533338"],
    "Mastercard": ["5105105105105100", "2720992593319364", "2221000000000009", "5200828282828210"],
    "Mir": ["2200000000000004", "2201382000000013"],
    "RuPay": ["6073849700004947", "6074000000000008"],
    "Solo, Switch": ["6331101999990016", "633499110000000003", "6767622222222222222"],
    "Troy": ["6501700194147183"],
    "UnionPay": ["6200000000000005", "6205500000000000004", "6240008631401148"],
    "Verve": ["5060666666666666666", "5061460410120223210"],
    "Visa": ["4012888888881881", "4000056655665556", "4242424242424242", "4988080000000000"],
}
# What stands between groups, or in them unseen.
SEPARATORS = [
    " ", "-", "\u00a0", ".", "/", "_", "\\", "|", ",", ":", "  ", " - ", " . ", "\t", "\n", "\r\n", "\x85",
    "\u2002", "\u2007", "\u2009", "\u200a", "\u202f", "\u205f", "\u3000", "\u2028",
    "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", "\uff0d", "\u00b7", "\u2024", "\uff0e", "\u30fb",
    "\u2044", "\u2215", "\uff0f", "\u2800",
    "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\ufe0f", "\u20e3", "\u202e", "\u3164",
    " \u200b ",
]  # fmt: skip
# The digits of other scripts, by their nought.
NOUGHTS = ["\uff10", "\u0660", "\u06f0", "\u0966", "\u09e6", "\u0e50", "\U0001d7ce", "\U0001d7f6", "\u2080"]


def checked(digits: str) -> str:
    """Return the digits with the one behind them that makes them pass the Luhn check."""
    total = sum(sum(divmod(int(digit) * (1 + (index % 2 == 0)), 10)) for index, digit in enumerate(reversed(digits)))
    return f"{digits}{-total % 10}"


class TestContainsCardNumber:
    @pytest.mark.parametrize("number", CARDS)
    @pytest.mark.parametrize(
        "text",
        ["{0}", "card {0}", "{0}, please", "({0})", "{0} 12/27", "{0}-123", "1 {0}", "x {0}\n", "order 7 {0} 4711"],
    )
    def test_finds_it_in_a_text(self, number: str, text: str) -> None:
        assert contains_card_number(text.format(number))

    @pytest.mark.parametrize("number", [number for numbers in BRANDS.values() for number in numbers])
    def test_finds_that_of_each_brand(self, number: str) -> None:
        assert checked(number[:-1]) == number
        assert contains_card_number(number)
        assert contains_card_number(f"Card {number} exp 12/27")
        assert contains_card_number(" ".join(number[place : place + 4] for place in range(0, len(number), 4)))

    @pytest.mark.parametrize("nought", NOUGHTS)
    def test_finds_it_in_the_digits_of_another_script(self, nought: str) -> None:
        digits = {ord(digit): chr(ord(nought) + int(digit)) for digit in "0123456789"}

        assert contains_card_number("4111 1111 1111 1111".translate(digits))
        assert contains_card_number("4111 1111 " + "1111 1111".translate(digits))

    @pytest.mark.parametrize(
        "text",
        [
            "\u5361\u53f74111111111111111",
            "\u043a\u0430\u0440\u0442\u0430 4111111111111111.",
            "4111111111111111\u53f7",
            "(4111) (1111) (1111) (1111)",
            "4111 1111 1111 1111/12/27/123",
            "no. 4111-1111-1111-1111; DE89370400440532013000",
            "DE89370400440532013000 4111111111111111",
            "DE89 3704 0044 0532 0130 00 4111 1111 1111 1111",
            "021000021 4111111111111111",
            "12-34-56 4111111111111111",
        ],
    )
    def test_finds_it_beside_other_things(self, text: str) -> None:
        assert contains_card_number(text)

    @pytest.mark.parametrize("separator", SEPARATORS)
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
            # Airlines, fuel, telephones, national bodies.
            *(checked(f"{first}11111111111111") for first in "01789"),
            # Hidden but for twelve digits at most.
            "Card ****1234",
            "4111 11** **** 1111",
            "411111******1111",
            "411111XXXXXX1111",
            "4111-11xx-xxxx-1111",
            "4111 1111 **** 1111",
            "\u2022\u2022\u2022\u2022 \u2022\u2022\u2022\u2022 \u2022\u2022\u2022\u2022 1111 12/27",
            "41111111\u20261111 12/2027",
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
            "IBAN: DE89 3704 0044 0532 0130 00, BIC COBADEFF",
            "Jane Doe DE89-3704-0044-0532-0130-00",
            "DE89\u200b3704\u00a00044.0532/0130 00 12/27",
            "\uff24\uff25\uff18\uff19370400440532013000",
            "NO93 8601 1117 947 4111",
        ],
    )
    def test_takes_no_iban_for_one(self, iban: str) -> None:
        assert not contains_card_number(iban)

    # 80 of 100 pairs of check digits belong to no valid IBAN, which must not open a door for a card number.
    def test_is_not_fooled_by_what_only_looks_like_an_iban(self) -> None:
        assert contains_card_number("DE00 4111 1111 1111 1111")
        # The check digits are right, and no IBAN of the country is as long.
        assert contains_card_number("DE76 4111 1111 1111 1111")
        # Nor does one go on in a word.
        assert not contains_card_number("NO9386011117947")
        assert contains_card_number("NO9386011117947A 4111 1111 1111 1111")

    @pytest.mark.parametrize(
        "text",
        [
            # Each of them passes the Luhn check.
            "646180157000000059",
            "646 180 15700000005 9",
            "40-00-00 12345676",
            "40 00 00 12345676",
            "400000 12345676",
            "40-00-00/1234 5676",
            "400000/12345676",
            "484-799 12345675",
            "4123-001-1234568",
            "25432-001-12345679",
            "25-3456-1234567-07",
            "322271627 40000000006",
            "2000000149/0800",
            "265-0001000000021-36",
        ],
    )
    def test_takes_no_account_number_for_one(self, text: str) -> None:
        digits = re.sub("[^0-9]", "", text)

        assert checked(digits[:-1]) == digits
        assert not contains_card_number(text)

    @given(st.text(max_size=255) | st.text(alphabet="0123456789 -\u00a0aZ\u200b\u0661*", max_size=255))
    def test_answers_for_every_text(self, text: str) -> None:
        assert contains_card_number(text) in {True, False}

    @given(st.from_regex(r"[2-6][0-9]{11,17}", fullmatch=True))
    def test_finds_every_number_that_is_completed_by_its_check_digit(self, digits: str) -> None:
        found = [check for check in "0123456789" if contains_card_number(digits + check)]

        is_clabe = account_numbers.is_account([checked(digits)])
        assert found == ([] if is_clabe else [checked(digits)[-1]])


class TestWork:
    """What is counted are the sums that are compared: time would depend on the machine."""

    @pytest.mark.parametrize(
        "text",
        [
            "1 " * 250,
            "2-" * 250,
            "4" * 500,
            "12345678901234567890 " * 24,
            "DE89 " * 100,
            "AL1 " * 125,
            "MT84" + " " * 400,
            "MT84MALT" + "0 " * 246,
            "6 " * 4000,
        ],
    )
    def test_grows_with_the_length_alone(self, text: str) -> None:
        steps = 0

        def count(frame: Any, event: str, argument: Any) -> Any:
            nonlocal steps
            if frame.f_globals.get("__name__") in {card_numbers.__name__, account_numbers.__name__}:
                steps += event == "line"
                return count
            return None

        before = sys.gettrace()
        sys.settrace(count)
        try:
            contains_card_number(text)
        finally:
            sys.settrace(before)

        assert steps < 250 * len(text) + 1000
