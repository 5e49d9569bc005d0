"""What a text may hold: one rule for every text that is one line, however it comes in.

A line ends in payment files, log lines, CSV and other people's screens. A character that starts a new record there, or
that shows the rest in another order than it is stored, is refused, never removed: a changed name is another name. Texts
of several lines only have to be storable.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final, NamedTuple

#: Category Cc, the separators of lines and paragraphs, the controls of the direction of writing, half surrogate pairs.
_NOT_IN_A_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

#: What PostgreSQL cannot store. A command line holds bytes that are no UTF-8 as half surrogate pairs.
_NOT_STORABLE: Final = re.compile("[\x00\ud800-\udfff]")

#: Unicode's property Default_Ignorable_Code_Point. Then what else is drawn without ink: Braille with no dot, a note
#: without a head, controls of annotations and hieroglyphs, and the code points that will never be characters.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u2800\U0001d159\ufff9-\ufffb\U00013430-\U0001343f\ufdd0-\ufdef\ufffe\uffff]"
)

#: Control characters and separators; and marks, because without a letter there is nothing that they mark.
_CATEGORIES_WITHOUT_INK: Final = frozenset({"Cc", "Cs", "Mc", "Me", "Mn", "Zl", "Zp", "Zs"})


class Problem(NamedTuple):
    """Why a text is refused: a code for programs, a sentence for people."""

    code: str
    message: str


BLANK: Final = Problem("blank", "Nothing in this text can be seen. Give at least one visible character.")
UNSTORABLE: Final = Problem("invalid_character", "NUL and half surrogate pairs are not allowed.")


def problem_of_line(text: str, *, may_be_blank: bool = False) -> Problem | None:
    """Return why the text cannot be a line, or None if it can. White space alone is blank, of whatever kind it is."""
    if not may_be_blank and not text.strip():
        return BLANK
    found = _NOT_IN_A_LINE.search(text)
    if found is None:
        return BLANK if not may_be_blank and is_blank(text) else None
    message = f"U+{ord(found[0]):04X} is not allowed: write one line, without control characters or marks of direction."
    return Problem("invalid_character", message)


def problem_of_text(text: str, *, may_be_blank: bool = False) -> Problem | None:
    """Return why the text cannot be stored as one of any number of lines, or None if it can."""
    if not is_storable(text):
        return UNSTORABLE
    return BLANK if not may_be_blank and is_blank(text) else None


def is_blank(text: str) -> bool:
    """Tell whether nothing in the text can be seen."""
    return not any(
        unicodedata.category(character) not in _CATEGORIES_WITHOUT_INK and not is_invisible(character)
        for character in text
    )


def is_invisible(character: str) -> bool:
    """Tell whether the character is shown as nothing at all. White space is not invisible: it keeps words apart."""
    return _INVISIBLE.fullmatch(character) is not None


def is_storable(text: str) -> bool:
    """Tell whether PostgreSQL can store the text."""
    return _NOT_STORABLE.search(text) is None


def normalised(text: str) -> str:
    """Return the text in the form in which texts are stored and looked up (NFC)."""
    return unicodedata.normalize("NFC", text)


def spellings(text: str) -> list[str]:
    """Return the text as it is stored, and as an earlier version may have stored it: it kept what was sent."""
    return list(dict.fromkeys(unicodedata.normalize(form, text) for form in ("NFC", "NFD")))


def is_same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same; texts, and objects of texts, in whatever form they were sent."""
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
    """Return a foreign text with a space for each character that no line may hold."""
    return _NOT_IN_A_LINE.sub(" ", text)
