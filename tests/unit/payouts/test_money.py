from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts import money


class TestCurrencies:
    @pytest.mark.parametrize(
        ("code", "decimals"), [("EUR", 2), ("USD", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("BHD", 3), ("CLF", 4)]
    )
    def test_have_the_decimals_of_iso_4217(self, code: str, decimals: int) -> None:
        assert money.CURRENCY_DECIMALS[code] == decimals

    # Gold, the test code, no currency, and drawing rights: nothing can be paid out in them.
    @pytest.mark.parametrize("code", ["XAU", "XTS", "XXX", "XDR", "eur", "BTC", ""])
    def test_leave_out_what_cannot_be_paid(self, code: str) -> None:
        assert code not in money.CURRENCY_DECIMALS

    def test_fit_the_column(self) -> None:
        assert max(money.CURRENCY_DECIMALS.values()) == money.AMOUNT_DECIMALS_MAX
        assert all(len(code) == 3 and code.isascii() and code.isupper() for code in money.CURRENCY_DECIMALS)


class TestAmount:
    @pytest.mark.parametrize("text", ["0", "1", "10", "0.5", "10.50", "999999999999.9999", "0.00"])
    def test_is_plain_decimal_notation(self, text: str) -> None:
        assert money.AMOUNT.fullmatch(text)

    @pytest.mark.parametrize("text", ["", "-1", "+1", "01", "00", ".5", "5.", "1.2.3", "1,5", " 1", "1\n"])
    @pytest.mark.parametrize("suffix", ["", "e3", "E3", "_0", "\u0661", "x1", "NaN"])
    def test_is_nothing_else(self, text: str, suffix: str) -> None:
        assert not money.AMOUNT.fullmatch(text + suffix)
        assert not suffix or not money.AMOUNT.fullmatch("1" + suffix)

    @given(st.from_regex(money.AMOUNT, fullmatch=True) | st.text(alphabet="0123456789.-e "))
    def test_is_what_decimal_reads_the_same_way(self, text: str) -> None:
        if money.AMOUNT.fullmatch(text):
            assert Decimal(text) >= 0
            assert f"{Decimal(text):f}" == text


class TestDecimalsOf:
    @pytest.mark.parametrize(
        ("amount", "decimals"), [("10", 0), ("10.0", 1), ("10.50", 2), ("0.0001", 4), ("1E+2", 0), ("0", 0)]
    )
    def test_counts_as_written(self, amount: str, decimals: int) -> None:
        assert money.decimals_of(Decimal(amount)) == decimals


class TestFormatAmount:
    @pytest.mark.parametrize(
        ("amount", "currency", "text"),
        [
            ("10.5", "EUR", "10.50"),
            ("10.5000", "EUR", "10.50"),
            ("1E+2", "EUR", "100.00"),
            ("10", "JPY", "10"),
            ("10.5", "KWD", "10.500"),
            ("0", "EUR", "0.00"),
            ("999999999999.9999", "CLF", "999999999999.9999"),
        ],
    )
    def test_has_the_decimals_of_the_currency(self, amount: str, currency: str, text: str) -> None:
        assert money.format_amount(Decimal(amount), currency) == text

    @given(
        st.sampled_from(sorted(money.CURRENCY_DECIMALS)),
        st.integers(min_value=1, max_value=10**money.AMOUNT_WHOLE_DIGITS_MAX - 1),
    )
    def test_is_read_back_as_the_same_amount(self, currency: str, minor: int) -> None:
        amount = Decimal(minor).scaleb(-money.CURRENCY_DECIMALS[currency])

        text = money.format_amount(amount, currency)

        assert Decimal(text) == amount
        assert money.AMOUNT.fullmatch(text)
        assert money.decimals_of(Decimal(text)) == money.CURRENCY_DECIMALS[currency]
