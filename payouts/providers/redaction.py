"""Makes a bank's words fit to keep: one line, limited in length, and without private values. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

HIDDEN: Final = "***"
#: Shorter values, such as a country's code, occur in ordinary words.
HIDDEN_LENGTH_MIN: Final = 4


def presentable(text: str, *, hidden: Iterable[str], length_max: int) -> str:
    """Return the text without control characters and without the hidden values, cut to the length."""
    text = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    if text:
        for value in hidden:
            text = _without(text, value)
    return text[:length_max]


def _without(text: str, value: str) -> str:
    """Hide the value in any case and with any spacing, as in account numbers."""
    sought = _compact(value)
    if len(sought) < HIDDEN_LENGTH_MIN:
        return text
    positions = [position for position, character in enumerate(text) if not character.isspace()]
    kept, searched, end = "", _compact(text), 0
    found = searched.find(sought)
    while found >= 0:
        kept += text[end : positions[found]] + HIDDEN
        end = positions[found + len(sought) - 1] + 1
        found = searched.find(sought, found + len(sought))
    return kept + text[end:]


def _compact(text: str) -> str:
    # A few letters become two in lower case, which would shift the positions.
    lowered = (character.lower() for character in text if not character.isspace())
    return "".join(character if len(character) == 1 else "?" for character in lowered)
