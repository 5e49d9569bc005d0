"""The part of a file that a Range header asks for (RFC 9110, section 14). Pure.

One part can be asked for, which is what a client needs that goes on with a download. A header with several parts, in
another unit or malformed is ignored, as the RFC allows: the answer is the whole file.
"""

from __future__ import annotations

import re
from typing import Final

from rest import refusals

_BYTES: Final = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)


def part_of(header: str | None, *, size: int) -> range | None:
    """Return the positions that are asked for, or None for the whole file. Raises RangeNotSatisfiable."""
    asked = _BYTES.fullmatch(header or "")
    if asked is None:
        return None
    first, last, from_end = asked.groups()
    if from_end is not None:
        part = range(max(0, size - int(from_end)), size)
    elif last and int(last) < int(first):
        return None
    else:
        part = range(int(first), min(int(last) + 1, size) if last else size)
    if not part:
        raise refusals.RangeNotSatisfiable(size=size)
    return part


def content_range(part: range, *, size: int) -> str:
    """Return the Content-Range header of this part."""
    return f"bytes {part.start}-{part.stop - 1}/{size}"
