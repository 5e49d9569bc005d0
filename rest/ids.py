"""Spellings of our ids. Upper and lower case are the same id (RFC 9562), and many programs omit the hyphens.

Our answers have the canonical form: lower case, with hyphens.
"""

from __future__ import annotations

import re
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest
from rest_framework.request import Request

_HEX: Final = "[0-9A-Fa-f]"
SPELLINGS: Final = f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}|{_HEX}{{32}}"
_ID: Final = re.compile(SPELLINGS)


def parse(text: str) -> UUID | None:
    """Return the id, or None if the text is not one. (Python's UUID accepts braces, and hyphens anywhere.)"""
    return UUID(text) if _ID.fullmatch(text) else None


class IdConverter:
    """An id in a path: `<id:payout_id>`."""

    regex = SPELLINGS

    def to_python(self, value: str) -> UUID:
        """Return the id of any spelling."""
        return UUID(value)

    def to_url(self, value: Any) -> str:
        """Return the canonical spelling."""
        return str(value)


def canonical_path(request: HttpRequest | Request) -> str:
    """Return the path of the request with its ids in canonical form.

    Only the ids of the route are changed. An Idempotency-Key in the path may look like an id, and stays as it is.
    """
    match = request.resolver_match
    ids = {value for value in match.kwargs.values() if isinstance(value, UUID)} if match else set[UUID]()
    return "/".join(str(found) if (found := parse(part)) in ids else part for part in request.path.split("/"))
