"""Detection of full card numbers, which are refused as a recipient's account and so never stored. Pure.

Each run of whole groups of digits is checked, with any separators: an expiry date or another number may stand beside
the card number. The work is linear in the length of the text, because a run ends at 19 digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final

from payouts.api import account_numbers

#: ISO/IEC 7812. Issuers of payment cards begin with 2 to 6; 0, 1 and 7 to 9 are airlines, fuel, telephones and national
#: bodies. The ranges of today's brands are not used: new ones are added each year.
LENGTH_MIN: Final = 13
LENGTH_MAX: Final = 19
_FIRST_DIGITS: Final = frozenset("23456")

# Characters in place of hidden digits. Letters are also used.
_MASKS: Final = frozenset("*#?\u2022\u25cf\u2217\u00d7\u2026\u25e6\u25a0\u2588")
# Invisible letters.
_FILLERS: Final = frozenset("\u115f\u1160\u3164\uffa0")

_IBAN_START: Final = re.compile(r"(?<![0-9A-Z])[A-Z]{2}(?= ?[0-9] ?[0-9])")
# A word with its digits, or a word of another script, which may stand right before a number.
_TOKEN: Final = re.compile(r"[0-9A-Z]+|~")


def contains_card_number(text: str) -> bool:
    """Tell whether the text holds a card number: 13 to 19 digits from 2 to 6 on that pass the Luhn check.

    A known form of account number is not a card number, even if it passes (api/account_numbers.py).
    """
    if sum(map(str.isdigit, text)) < LENGTH_MIN:
        return False
    folded = " ".join("".join(map(_folded, text)).split())
    return any(_hold_card_number(groups) for groups in _runs(_without_ibans(folded)))


@lru_cache(maxsize=4096)
def _folded(character: str) -> str:
    """Return a digit or capital letter as such, ~ for another letter or a mask, else a space.

    An invisible character, such as a zero-width space, also separates groups.
    """
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    plain = unicodedata.normalize("NFKC", character).upper()
    if plain.isascii() and plain.isalpha():
        return plain
    is_letter = unicodedata.category(character).startswith("L") and character not in _FILLERS
    return "~" if is_letter or character in _MASKS else " "


def _without_ibans(folded: str) -> str:
    kept, copied_to = [], 0
    for match in _IBAN_START.finditer(folded):
        length = account_numbers.iban_length_at(folded, match.start()) if match.start() >= copied_to else 0
        if length:
            kept += [folded[copied_to : match.start()], "~"]
            copied_to = match.start() + length
    return "".join([*kept, folded[copied_to:]])


def _runs(folded: str) -> Iterator[list[str]]:
    """Yield the groups of digits that have no word between them."""
    groups: list[str] = []
    for token in _TOKEN.findall(folded):
        if token.isdigit():
            groups.append(token)
        else:
            yield groups
            groups = []
    yield groups


def _hold_card_number(groups: Sequence[str]) -> bool:
    digits = "".join(groups)
    bounds = list(accumulate(map(len, groups), initial=0))
    sums = _luhn_sums(digits)
    accounts_end_at = _accounts_end_at(groups)
    for first, start in enumerate(bounds[:-1]):
        if digits[start] not in _FIRST_DIGITS:
            continue
        for last in range(first + 1, min(first + LENGTH_MAX, len(groups)) + 1):
            end = bounds[last]
            if end - start > LENGTH_MAX:
                break
            passes = (sums[end % 2][end] - sums[end % 2][start]) % 10 == 0
            if end - start >= LENGTH_MIN and passes and last > accounts_end_at[first]:
                return True
    return False


def _luhn_sums(digits: str) -> tuple[list[int], list[int]]:
    """Return the sums of the first digits, by ISO/IEC 7812-1, for numbers that end at an even and at an odd place.

    Each second digit from the right counts twice, and a product above 9 counts as the sum of its digits. So a number
    between two places passes if the difference of their sums is a multiple of 10.
    """
    once = [int(digit) for digit in digits]
    twice = [2 * digit - 9 * (digit > 4) for digit in once]
    even = (twice[place] if place % 2 == 0 else once[place] for place in range(len(once)))
    odd = (twice[place] if place % 2 else once[place] for place in range(len(once)))
    return list(accumulate(even, initial=0)), list(accumulate(odd, initial=0))


def _accounts_end_at(groups: Sequence[str]) -> list[int]:
    """Return for each group the end of the account number that it belongs to; 0 for none."""
    ends = []
    for first in range(len(groups)):
        lasts = range(first + 1, min(first + account_numbers.GROUPS_MAX, len(groups)) + 1)
        ends.append(max((last for last in lasts if account_numbers.is_account(groups[first:last])), default=0))
    return list(accumulate(ends, max))
