"""ETags of payouts, written and read (RFC 9110, sections 8.8.3 and 13.1). Pure.

A change is answered with `"<version>"`, and a GET with `"<version>-<digest>"`. The version counts the changes of the
payout, so it is what If-Match is about. The digest is of the document, for that has more than the payout's columns: why
a payout waits depends on pauses and circuits, and a release may add a field. An answer to a change has no digest,
because an API key that may not read must not be able to check its guesses of what it is not shown.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from rest import refusals

#: 64 bits: two documents of one version collide with a chance of 1 in 10^19.
DIGEST_LENGTH: Final = 16

_OPAQUE: Final = r'"[\x21\x23-\x7e]*"'
# A list may have empty elements (RFC 9110, section 5.6.1).
_TAGS: Final = re.compile(rf"[\s,]*(?:W/)?{_OPAQUE}(?:\s*,[\s,]*(?:W/)?{_OPAQUE})*[\s,]*")
_TAG: Final = re.compile(rf"(W/)?({_OPAQUE})")
_OURS: Final = re.compile(rf'"([1-9][0-9]{{0,9}})(?:-[0-9a-f]{{{DIGEST_LENGTH}}})?"')


def of_version(version: int) -> str:
    """Return the ETag of a payout in the answer to a change."""
    return f'"{version}"'


def of_document(version: int, document: Mapping[str, Any]) -> str:
    """Return the ETag of a payout as it is shown."""
    shown = json.dumps(document, sort_keys=True).encode()
    return f'"{version}-{hashlib.sha256(shown).hexdigest()[:DIGEST_LENGTH]}"'


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """Return the versions that an If-Match header names, or None if any version will do.

    If-Match compares strongly, so a weak tag names none. Raises IfMatchMalformed.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    if not _TAGS.fullmatch(if_match):
        raise refusals.IfMatchMalformed(field="If-Match")
    named = (_OURS.fullmatch(opaque) for weak, opaque in _TAG.findall(if_match) if not weak)
    return frozenset(int(ours[1]) for ours in named if ours)


def is_known(etag: str, *, if_none_match: str | None) -> bool:
    """Tell whether an If-None-Match header names this ETag: the caller has what would be answered.

    If-None-Match compares weakly, so `W/` does not matter. Raises IfNoneMatchMalformed.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    if not _TAGS.fullmatch(if_none_match):
        raise refusals.IfNoneMatchMalformed(field="If-None-Match")
    return etag in {opaque for _, opaque in _TAG.findall(if_none_match)}
