"""The spellings of an Idempotency-Key: bare, or the IETF draft's quoted string. Both are the same key. Pure."""

from __future__ import annotations

import re
from typing import Final

from idempotency import errors

LENGTH_MAX: Final = 255

# Visible ASCII without the characters that are ambiguous in a list of headers or a quoted string.
BARE: Final = re.compile(r"[!#-+\--\[\]-~]+")
# A quoted string of RFC 8941: printable ASCII, with quote and backslash escaped.
QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
PRINTABLE: Final = re.compile(r"[ -~]+")


def parse_header(header: str | None) -> str | None:
    """Return the key in an Idempotency-Key header, or None if there is no header.

    Raises IdempotencyKeyMalformed if the header is not exactly one key. Two headers arrive joined by a comma.
    """
    if header is None:
        return None
    key = _unquoted(header.strip(" \t"))
    if key is None:
        raise errors.IdempotencyKeyMalformed(field="Idempotency-Key")
    return key


def parse_address(text: str) -> str | None:
    """Return the key that a path or a query parameter names, or None if the text cannot be a key.

    The spellings of the header are accepted. A key that the header must quote may also be unquoted: `a b` for the key
    that was sent as `"a b"`. Only a key that begins and ends with a quote must be quoted.
    """
    return _unquoted(text) or (text if len(text) <= LENGTH_MAX and PRINTABLE.fullmatch(text) else None)


def _unquoted(text: str) -> str | None:
    quoted = QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    well_formed = 1 <= len(key) <= LENGTH_MAX and bool(quoted or BARE.fullmatch(key))
    return key if well_formed else None
