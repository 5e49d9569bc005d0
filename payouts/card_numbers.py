"""Full card numbers are refused as a recipient's account, so that none is stored for lack of a better place. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Final

# ISO/IEC 7812.
LENGTH_MIN: Final = 13
LENGTH_MAX: Final = 19

_SEPARATOR = "[ \u00a0-]"
# Groups of digits that are not part of something longer such as an IBAN.
_DIGIT_GROUPS = re.compile(rf"(?<![0-9A-Za-z])[0-9]+(?:{_SEPARATOR}[0-9]+)*(?![0-9A-Za-z])")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}")


def contains_card_number(text: str) -> bool:
    """Tell whether the text holds 13 to 19 digits that pass the Luhn check and are no part of a valid IBAN."""
    if _is_iban(text):
        return False
    return any(_hold_card_number(re.split(_SEPARATOR, match.group())) for match in _DIGIT_GROUPS.finditer(text))


def _hold_card_number(groups: Sequence[str]) -> bool:
    """Look at each run of whole groups: an expiry date or a number of something else may stand beside the card's."""
    runs = ("".join(groups[first:last]) for first, last in combinations(range(len(groups) + 1), 2))
    return any(LENGTH_MIN <= len(digits) <= LENGTH_MAX and _passes_luhn(digits) for digits in runs)


def _is_iban(text: str) -> bool:
    """ISO 13616: the country and check digits go to the end, letters count from 10, the whole is 1 modulo 97."""
    compact = text.replace(" ", "").upper()
    if not _IBAN.fullmatch(compact):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1: each second digit from the right counts twice, a sum above 9 by its own digits."""
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
