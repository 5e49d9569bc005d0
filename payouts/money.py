"""Currencies and amounts: ISO 4217 says how many decimals each has. Pure."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from iso4217 import Currency

#: Currency code -> number of decimals. Codes without decimals in ISO 4217, such as metals and test codes, are left out.
CURRENCY_DECIMALS: Final[dict[str, int]] = {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}

#: Funds, indexed units and units of account: used for prices and debts, but no bank account is held in them.
_NOT_MONEY: Final = frozenset({"BOV", "CHE", "CHW", "CLF", "COU", "MXV", "USN", "UYI", "UYW", "XAD"})
#: Currencies of new payouts. Payouts of an earlier version may have others, which stay readable.
PAYABLE_CURRENCIES: Final[frozenset[str]] = frozenset(CURRENCY_DECIMALS) - _NOT_MONEY

#: Digits before the point, and the most decimals of any currency: NUMERIC(16, 4) in the database.
AMOUNT_WHOLE_DIGITS_MAX: Final = 12
AMOUNT_DECIMALS_MAX: Final = 4
AMOUNT_DIGITS_MAX: Final = AMOUNT_WHOLE_DIGITS_MAX + AMOUNT_DECIMALS_MAX
AMOUNT_LIMIT: Final = Decimal(10) ** AMOUNT_WHOLE_DIGITS_MAX

#: Plain decimal notation, so that each amount has few spellings and none that a reader could take for another.
#: No sign, no exponent, no separator, no leading zero; decimals after a point are optional.
AMOUNT: Final = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
#: The same within the limits above, as a pattern of JSON Schema: of a bound, and of a payout, which is more than zero.
AMOUNT_BOUND_PATTERN: Final = rf"^(0|[1-9][0-9]{{0,{AMOUNT_WHOLE_DIGITS_MAX - 1}}})(\.[0-9]+)?$"
AMOUNT_PATTERN: Final = (
    rf"^(?!0(\.0+)?$)(0|[1-9][0-9]{{0,{AMOUNT_WHOLE_DIGITS_MAX - 1}}})(\.[0-9]{{1,{AMOUNT_DECIMALS_MAX}}})?$"
)


def currency_problem(code: str) -> str | None:
    """Return why a payout cannot have this currency and what to send instead, or None if it can."""
    if code in PAYABLE_CURRENCIES:
        return None
    if code in _NOT_MONEY:
        return f"{code} is a fund or a unit of account. Send the currency that is to be paid out, such as EUR."
    return f"{code[:10]!r} is no currency code of ISO 4217, such as EUR. Send one in upper case."


def decimals_of(amount: Decimal) -> int:
    """Return the number of decimals that the amount was written with."""
    exponent = amount.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def decimals_of_currency(currency: str) -> int:
    """Return the decimals of the currency; of one that has left ISO 4217, the stored decimals."""
    return CURRENCY_DECIMALS.get(currency, AMOUNT_DECIMALS_MAX)


def fits(amount: Decimal, currency: str) -> bool:
    """Tell whether the amount has no more decimals than the currency."""
    return decimals_of(amount) <= decimals_of_currency(currency)


def format_amount(amount: Decimal, currency: str) -> str:
    """Return the amount with the decimals of the currency: 10.50 EUR, 10 JPY, 10.500 KWD.

    A currency that has left ISO 4217 gets four decimals, as stored: old payouts must stay readable.
    """
    return f"{amount:.{decimals_of_currency(currency)}f}"
