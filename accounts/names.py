"""When two names of merchants are one name: the rule for uniqueness, look-up and search, said here alone.

Names are one if they differ in nothing but case, the form of a character (full width, composed or not), white space or
invisible characters: Unicode's compatibility caseless match. So a Greek final sigma is a sigma. The Turkish dotless i
(U+0131) is not the letter i: they only share their capital in some languages, and are two names.
"""

from __future__ import annotations

import hashlib
import unicodedata
import uuid
from typing import Final

from rest import texts
from rest.texts import Problem

#: Four for each character of a name. 1,600 bytes of UTF-8 fit into an index of PostgreSQL, whose limit is 2,704.
KEY_LENGTH_MAX: Final = 400

LOOKS_LIKE_ID: Final = Problem("looks_like_id", "This looks like an id (a UUID). Take a name that cannot be one.")


def key_of(name: str) -> str:
    """Return what all spellings of this name have in common. Empty if nothing in it can be seen."""
    visible = "".join(character for character in _compatible(name) if not texts.is_invisible(character))
    key = " ".join(_compatible(visible.casefold()).split())
    # A ligature can become 18 letters (U+FDFA). A name of many has a digest for a key.
    return key if len(key) <= KEY_LENGTH_MAX else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _compatible(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def problem_of(name: str) -> Problem | None:
    """Return why no new merchant can have this name, or None if one can."""
    if problem := texts.problem_of_line(name):
        return problem
    invisible = next((character for character in name if texts.is_invisible(character)), None)
    if invisible is not None:
        return Problem("invalid_character", f"U+{ord(invisible):04X} cannot be seen: leave it out of the name.")
    return LOOKS_LIKE_ID if id_in(name) or id_in(key_of(name)) else None


def id_in(text: str) -> uuid.UUID | None:
    """Return the id that the text is, in any spelling that Python takes, or None if it is none."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        return None
