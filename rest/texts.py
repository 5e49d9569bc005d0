"""The characters that a text may have: one rule for all one-line texts, from every source.

One-line texts are written to payment files, log lines, CSV and screens. A character that starts a new record there, or
that shows the text in another order than the stored one, is refused. It is never removed: a changed name is another
name. Texts of several lines only have to be storable.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final, NamedTuple

#: Category Cc, the separators of lines and paragraphs, the controls of the direction of writing, half surrogate pairs.
_NOT_IN_A_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

#: Characters that PostgreSQL cannot store. Bytes of a command line that are not UTF-8 become half surrogate pairs.
_NOT_STORABLE: Final = re.compile("[\x00\ud800-\udfff]")

#: Unicode's property Default_Ignorable_Code_Point. Then other characters without ink: Braille without a dot, a note
#: without a head, controls of annotations and hieroglyphs, and code points that will never be characters.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u2800\U0001d159\ufff9-\ufffb\U00013430-\U0001343f\ufdd0-\ufdef\ufffe\uffff]"
)

#: Control characters and separators, and marks: a mark without a letter is not visible.
_CATEGORIES_WITHOUT_INK: Final = frozenset({"Cc", "Cs", "Mc", "Me", "Mn", "Zl", "Zp", "Zs"})


class Problem(NamedTuple):
    """Why a text is refused: a code for programs, a sentence for people."""

    code: str
    message: str


BLANK: Final = Problem("blank", "Nothing in this text can be seen. Give at least one visible character.")
UNSTORABLE: Final = Problem("invalid_character", "NUL and half surrogate pairs are not allowed.")


def problem_of_line(text: str, *, may_be_blank: bool = False) -> Problem | None:
    """Return why the text cannot be a line, or None if it can. A text of any kind of white space is blank."""
    if not may_be_blank and not text.strip():
        return BLANK
    found = _NOT_IN_A_LINE.search(text)
    if found is None:
        return BLANK if not may_be_blank and is_blank(text) else None
    message = f"U+{ord(found[0]):04X} is not allowed: write one line, without control characters or marks of direction."
    return Problem("invalid_character", message)


def problem_of_text(text: str, *, may_be_blank: bool = False) -> Problem | None:
    """Return why the text cannot be a text of several lines, or None if it can."""
    if not is_storable(text):
        return UNSTORABLE
    return BLANK if not may_be_blank and is_blank(text) else None


def is_blank(text: str) -> bool:
    """Tell whether the text has no visible character."""
    return not any(
        unicodedata.category(character) not in _CATEGORIES_WITHOUT_INK and not is_invisible(character)
        for character in text
    )


def is_invisible(character: str) -> bool:
    """Tell whether the character is never visible. White space does not count: it separates words."""
    return _INVISIBLE.fullmatch(character) is not None


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can store the text."""
    return _NOT_STORABLE.search(text) is None


def normalised(text: str) -> str:
    """Return the text in the form in which texts are stored and looked up (NFC)."""
    return unicodedata.normalize("NFC", text)


def spellings(text: str) -> list[str]:
    """Return the forms in which the text may be stored. An earlier version stored texts as they were sent."""
    return list(dict.fromkeys(unicodedata.normalize(form, text) for form in ("NFC", "NFD")))


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same. Texts, and objects of texts, are compared in their normal form."""
    match one, other:
        case str(), str():
            return normalised(one) == normalised(other)
        case dict(), dict():
            return _normalised_pairs(one) == _normalised_pairs(other)
        case _:
            return bool(one == other)


def _normalised_pairs(pairs: dict[str, Any]) -> dict[str, Any]:
    return {normalised(name): normalised(value) if isinstance(value, str) else value for name, value in pairs.items()}


def on_one_line(text: str) -> str:
    """Return the text of another system with a space for each character that a line may not have."""
    return _NOT_IN_A_LINE.sub(" ", text)
