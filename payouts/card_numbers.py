"""Full card numbers are refused: we hold none, so that no installation comes under PCI DSS through us. Pure."""

from __future__ import annotations

import re

# 13 to 19 digits (ISO/IEC 7812), in groups or not, that are not part of something longer such as an IBAN.
CARD_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){12,18}(?![0-9A-Za-z])")
IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}")


def contains_card_number(text: str) -> bool:
    """Tell whether the text holds 13 to 19 digits that pass the Luhn check and are no part of a valid IBAN."""
    if _is_iban(text):
        return False
    return any(_passes_luhn(re.sub(r"[ -]", "", match.group())) for match in CARD_NUMBER.finditer(text))


def _is_iban(text: str) -> bool:
    """ISO 13616: the country and check digits go to the end, letters count from 10, the whole is 1 modulo 97."""
    compact = text.replace(" ", "").upper()
    if not IBAN.fullmatch(compact):
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1: each second digit from the right counts twice, a sum above 9 by its own digits."""
    doubled = [int(digit) * (1 + index % 2) for index, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
