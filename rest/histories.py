"""Pages of several lists that only grow, walked together, such as the changes and the attempts of one object.

Rows are only appended, so a place in such a list never moves, and a cursor is a place. Each page has the next rows of
each list. A list is one object's and is read from an index, so to skip rows costs little.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final
from urllib.parse import urlencode

from django.core import signing
from django.db.models import QuerySet
from rest_framework.request import Request

from rest import pagination
from rest.parsers import invalid

#: Query parameters of such pages.
PARAMETERS: Final = frozenset({"cursor", "page_size"})

CURSOR_SALT: Final = "payouts.histories.cursor"


class Pages:
    """One page of each of some lists. Read the lists with `of`, in their order, and then the links."""

    def __init__(self, request: Request) -> None:
        """Read the parameters. Raises ValidationError."""
        self._request = request
        self._size = pagination.page_size_of(request)
        self._start = self._read_cursor()
        self._has_more = False

    def of(self, rows: QuerySet[Any]) -> list[Any]:
        """Return this page of a list."""
        found = list(rows[self._start : self._start + self._size + 1])
        self._has_more |= len(found) > self._size
        return found[: self._size]

    @property
    def links(self) -> dict[str, str | None]:
        """Return the links to the next and the previous page of all lists."""
        following = self._link(self._start + self._size) if self._has_more else None
        return {"next": following, "previous": self._link(max(0, self._start - self._size)) if self._start else None}

    def _link(self, start: int) -> str:
        cursor = signing.dumps([self._scope, start], salt=CURSOR_SALT)
        parameters = {"page_size": str(self._size), "cursor": cursor}
        return self._request.build_absolute_uri(f"{self._request.path}?{urlencode(parameters)}")

    def _read_cursor(self) -> int:
        cursor = self._request.query_params.get("cursor")
        if cursor is None:
            return 0
        try:
            scope, start = signing.loads(cursor, salt=CURSOR_SALT)
        except signing.BadSignature as error:
            raise invalid("cursor", "invalid_cursor", "This is no cursor of ours: take it from `next`.") from error
        if scope != self._scope:
            raise invalid("cursor", "cursor_mismatch", "This cursor belongs to another history.")
        return int(start)

    @property
    def _scope(self) -> str:
        return hashlib.sha256(self._request.path.encode()).hexdigest()[:16]
