from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import iso4217
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
    @pytest.mark.parametrize("code", ["XAU", "XTS", "XXX", "XDR", "XUA", "XSU", "eur", "EURO", "BTC", "", "x" * 1000])
    def test_leave_out_what_cannot_be_paid(self, code: str) -> None:
        assert code not in money.CURRENCY_DECIMALS
        assert money.currency_problem(code) == (
            f"{code[:10]!r} is no currency code of ISO 4217, such as EUR. Send one in upper case."
        )

    # Bolivian, Swiss, Chilean, Colombian, Mexican, American and Uruguayan funds, and the dinar of accounts.
    @pytest.mark.parametrize("code", ["BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "XAD"])
    def test_leave_out_what_is_no_money(self, code: str) -> None:
        assert code in money.CURRENCY_DECIMALS
        assert money.currency_problem(code) == (
            f"{code} is a fund or a unit of account. Send the currency that is to be paid out, such as EUR."
        )

    def test_leave_out_every_fund_of_the_table(self) -> None:
        table = ET.parse(Path(iso4217.__file__).with_name("table.xml"))
        funds = {
            entry.findtext("Ccy")
            for entry in table.iter("CcyNtry")
            if (name := entry.find("CcyNm")) is not None and name.get("IsFund") == "true"
        }

        assert {"CLF", "USN"} <= funds
        assert funds & money.PAYABLE_CURRENCIES == set()

    @pytest.mark.parametrize(
        "code", ["EUR", "USD", "JPY", "XOF", "XAF", "XPF", "XCD", "XCG", "CHF", "CLP", "UYU", "ZWG"]
    )
    def test_have_what_accounts_are_held_in(self, code: str) -> None:
        assert money.currency_problem(code) is None

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
            # No longer taken, and still readable: funds, what has left ISO 4217, what never was in it.
            ("999999999999.9999", "CLF", "999999999999.9999"),
            ("10", "UYI", "10"),
            ("10.5", "DEM", "10.5000"),
            ("10.5", "XAU", "10.5000"),
            ("10.5", "", "10.5000"),
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
