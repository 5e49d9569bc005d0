"""The rule for equal merchant names. Uniqueness, look-up and search all use it.

Two names are equal if they differ only in case, character form (full width, composed), white space or invisible
characters: Unicode's compatibility caseless match. A Greek final sigma equals a sigma. The Turkish dotless i (U+0131)
does not equal i: the two share a capital letter only in some languages.
"""

from __future__ import annotations

import hashlib
import unicodedata
import uuid
from typing import Final

from rest import texts
from rest.texts import Problem

#: Four for each character of a name: 1,600 bytes of UTF-8. An index entry in PostgreSQL may have 2,704.
KEY_LENGTH_MAX: Final = 400

LOOKS_LIKE_ID: Final = Problem("looks_like_id", "This looks like an id (a UUID). Take a name that cannot be one.")


def key_of(name: str) -> str:
    """Return the key that all spellings of this name share. The key is empty if no character is visible."""
    visible = "".join(character for character in _compatible(name) if not texts.is_invisible(character))
    key = " ".join(_compatible(visible.casefold()).split())
    # A ligature can become 18 letters (U+FDFA). If the key gets too long, its digest is the key.
    return key if len(key) <= KEY_LENGTH_MAX else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def problem_of(name: str) -> Problem | None:
    """Return why a new merchant cannot have this name, or None if it can."""
    if problem := texts.problem_of_line(name):
        return problem
    invisible = next((character for character in name if texts.is_invisible(character)), None)
    if invisible is not None:
        return Problem("invalid_character", f"U+{ord(invisible):04X} cannot be seen: leave it out of the name.")
    return LOOKS_LIKE_ID if id_in(name) or id_in(key_of(name)) else None


def id_in(text: str) -> uuid.UUID | None:
    """Return the text as an id, in any spelling that Python accepts, or None if the text is not an id."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None
