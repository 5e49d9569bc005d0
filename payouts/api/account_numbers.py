"""Account numbers that look like card numbers (api/card_numbers.py), known by their check digits or groups. Pure.

Card numbers have none of these groups: they are written 4-4-4-4, 4-6-5, 4-6-4, or without groups.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

#: Length of an IBAN by country: the registry of ISO 13616, and countries that use IBANs without being in it.
_IBAN_LENGTHS: Final[dict[str, int]] = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FK FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG YE",
        25: "AO CV GW LY MZ PT ST", 26: "DZ IR IS TR", 27: "BI CF CG CM DJ FR GA GQ GR IT KM MC MG MR SM TD",
        28: "AL AZ BF BJ BY CI CY DO GT HN HU LB MA ML NE NI PL SN SV TG", 29: "BR EG PS QA UA", 30: "JO KW MU",
        31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[0-9A-Z]+")
#: Length of the longest IBAN, with a separator after each character.
_IBAN_SPAN_MAX: Final = 2 * max(_IBAN_LENGTHS.values())

#: Lengths of groups that identify an account number without check digits.
_SHAPES: Final = frozenset({
    # United Kingdom, Ireland: sort code, account. Australia: BSB, account.
    (6, 8), (6, 4, 4), (2, 2, 2, 8), (2, 2, 2, 4, 4),
    (6, 7), (6, 9), (3, 3, 7), (3, 3, 8), (3, 3, 9), (3, 3, 10),
    # New Zealand: bank, branch, account, suffix.
    (2, 4, 7, 2), (2, 4, 7, 3),
    # Japan: bank, branch, account.
    (4, 3, 7),
    # Canada: transit, institution, account.
    (5, 3, 7), (5, 3, 8), (5, 3, 9), (5, 3, 10), (5, 3, 11),
    # Denmark: registration, account.
    (4, 10),
    # Brazil: bank, branch, account, check digit; and without the bank.
    *((3, 4, account, 1) for account in range(5, 12)),
    *((4, account, 1) for account in range(8, 13)),
})  # fmt: skip
#: Number of groups of the longest: a Polish account number.
GROUPS_MAX: Final = 7


def iban_length_at(text: str, start: int) -> int:
    """Return the length in the text of the valid IBAN that begins at `start`, or 0 if none does.

    api/card_numbers.py has folded the text: upper case, with at most one space between two groups.
    """
    length = _IBAN_LENGTHS.get(text[start : start + 2], 0)
    span = text[start : start + min(_IBAN_SPAN_MAX, 2 * length)]
    places = [place for place, character in enumerate(span, start=1) if character != " "]
    if not length or len(places) < length:
        return 0
    ends_at = places[length - 1]
    is_whole = not text[start + ends_at : start + ends_at + 1].isalnum()
    return ends_at if is_whole and _is_iban(span[:ends_at].replace(" ", "")) else 0


def is_account(groups: Sequence[str]) -> bool:
    """Tell whether these groups of digits form an account number."""
    shape = tuple(map(len, groups))
    digits = "".join(groups)
    match shape:
        case (18,) | (3, 3, 11, 1) | (3, 3, 12):
            return _is_clabe(digits)
        # United States: routing number, account. A longer account could be a card.
        case (9, account) if 4 <= account <= 12:
            return _has_check_digit(groups[0], (3, 7, 1))
        # Czechia, Slovakia: prefix, account, bank.
        case (10, 4) | (2 | 3 | 4 | 5 | 6, 10, 4):
            return _is_czech(groups[-2]) and all(_is_czech(prefix) for prefix in groups[:-2])
        # Serbia, Montenegro: bank, account, check digits.
        case (3, 13, 2):
            return int(digits) % 97 == 1
        case (2, 4, 4, 4, 4, 4, 4):
            return _is_iban(f"PL{digits}")
        case _:
            return shape in _SHAPES


def _is_iban(compact: str) -> bool:
    """ISO 13616: the country and check digits go to the end, letters count from 10, the whole is 1 modulo 97."""
    if not _IBAN.fullmatch(compact):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _is_clabe(digits: str) -> bool:
    """Mexico: each digit times its weight, modulo 10. The last digit makes the sum a multiple of 10."""
    weighted = (int(digit) * (3, 7, 1)[index % 3] % 10 for index, digit in enumerate(digits[:-1]))
    return (sum(weighted) + int(digits[-1])) % 10 == 0


def _has_check_digit(digits: str, weights: Sequence[int]) -> bool:
    return sum(int(digit) * weights[index % len(weights)] for index, digit in enumerate(digits)) % 10 == 0


def _is_czech(digits: str) -> bool:
    """Each digit times its weight from the right. The sum is a multiple of 11."""
    weights = (1, 2, 4, 8, 5, 10, 9, 7, 3, 6)
    return sum(int(digit) * weight for digit, weight in zip(reversed(digits), weights, strict=False)) % 11 == 0
