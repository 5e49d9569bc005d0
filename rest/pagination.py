"""Pages by cursor: page ten thousand is as fast as the first, and pages are stable while rows are added.

A page is found by a row comparison on the columns of the order, the unique one last: `(created_at, id) < (x, y)`.
PostgreSQL answers the comparison from the index. The cursor holds the values of the row at the edge of the page. It is
signed, and bound to the filters and the order, so a client cannot change it or use it on another list. There is no
COUNT.

A link repeats the filters, and servers limit the length of a request line. So filters that are too long for a link are
refused on the first page, and then every link of the list can be called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from django.core import signing
from django.db.models import F, Model, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from rest.parsers import invalid

if TYPE_CHECKING:
    # The base of lists pages by this class.
    from rest.views import ListAPIView

PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 200
#: Bytes that every server should accept (RFC 9112, section 3). Our proxy and our server do (deploy).
REQUEST_LINE_BYTES_MAX: Final = 8_000
#: A cursor has a hash of the filters and the columns of one row: about 200 bytes.
CURSOR_BYTES_MAX: Final = 400
CURSOR_SALT: Final = "payouts.pagination.cursor"

#: Query parameters that choose a page, not the list. A cursor is not bound to them.
PAGE_PARAMETERS: Final = frozenset({"cursor", "page_size", "include"})


class CursorPagination(BasePagination):
    """Pages a queryset in the order of the view: `ordering_of(request)` returns its columns, the unique one last."""

    #: A value that the view sets for the first page of a walk. The cursors carry it to all other pages.
    carried: str = ""

    def paginate_queryset(  # type: ignore[override] # Only our lists are paged by cursor.
        self, queryset: QuerySet[Any], request: Request, view: ListAPIView[Any]
    ) -> list[Any]:
        self.request = request
        self.order = view.ordering_of(request)
        self.scope = self._scope()
        self._refuse_long_filters()
        self.page_size = page_size_of(request)
        backwards, edge = self._cursor()
        selected = self._rows(queryset, backwards=backwards, edge=edge)[: self.page_size + 1]
        rows = view.load(selected)
        has_more = len(rows) > self.page_size
        rows = rows[: self.page_size]
        if backwards:
            rows.reverse()
        self.page = rows
        self.has_next = has_more if not backwards else True
        self.has_previous = has_more if backwards else edge is not None
        return rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "results": data,
                "next": self._link(self.page[-1], "next") if self.page and self.has_next else None,
                "previous": self._link(self.page[0], "previous") if self.page and self.has_previous else None,
            }
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        example = "https://payouts.example.com/api/payouts/?cursor=WyI4Zj..."
        link = {"type": "string", "format": "uri", "nullable": True, "example": example}
        return {
            "type": "object",
            "required": ["results", "next", "previous"],
            "properties": {
                "results": schema,
                "next": {**link, "description": "The page after this one; null on the last."},
                "previous": {**link, "description": "The page before this one; null on the first."},
                "total": {
                    "type": "integer",
                    "nullable": True,
                    "example": 4711,
                    "description": "The number of all results, for `include=total`. Null if counting takes too long.",
                },
                "next_updated_after": {
                    "type": "string",
                    "format": "date-time",
                    "example": "2026-11-23T12:00:00.250000Z",
                    "description": "Of a list with `updated_after`: from when on to ask next, so that no change is "
                    "missed. The same on all its pages.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        del view
        return [
            {
                "name": "cursor",
                "in": "query",
                "description": "Take it from `next` or `previous`; it holds for the same filters and order only.",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:-]+$", "maxLength": CURSOR_BYTES_MAX},
            },
            {
                "name": "page_size",
                "in": "query",
                "description": "How many results a page has.",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": PAGE_SIZE_MAX,
                    "default": PAGE_SIZE_DEFAULT,
                },
            },
        ]

    def _rows(self, queryset: QuerySet[Any], *, backwards: bool, edge: Sequence[Any] | None) -> QuerySet[Any]:
        descending = self.order[0].startswith("-")
        names = [name.lstrip("-") for name in self.order]
        downwards = descending != backwards
        ordered = queryset.order_by(*(F(name).desc() if downwards else F(name).asc() for name in names))
        if edge is None:
            return ordered
        beyond = TupleLessThan if downwards else TupleGreaterThan
        return ordered.filter(beyond(Tuple(*(F(name) for name in names)), tuple(edge)))

    def _cursor(self) -> tuple[bool, Sequence[Any] | None]:
        cursor = self.request.query_params.get("cursor")
        if cursor is None:
            return False, None
        try:
            bound_to, direction, edge = signing.loads(cursor, salt=CURSOR_SALT)
        except signing.BadSignature as error:
            raise invalid("cursor", "invalid_cursor", "This is no cursor of ours: take it from `next`.") from error
        scope, _, self.carried = bound_to.partition(" ")
        if scope != self.scope:
            raise invalid("cursor", "cursor_mismatch", "This cursor belongs to other filters or another order.")
        return direction == "previous", edge

    def _link(self, row: Model, direction: str) -> str:
        edge = [str(getattr(row, name.lstrip("-"))) for name in self.order]
        # One text with the scope, so that the previous version refuses the cursor as one of another list.
        bound_to = f"{self.scope} {self.carried}" if self.carried else self.scope
        cursor = signing.dumps([bound_to, direction, edge], salt=CURSOR_SALT)
        parameters = [*self._list_parameters(), ("page_size", str(self.page_size)), ("cursor", cursor)]
        return self.request.build_absolute_uri(f"{self.request.path}?{urlencode(parameters)}")

    def _refuse_long_filters(self) -> None:
        """Refuse a list whose links would be too long. The result is the same for all pages of a list."""
        longest = [("page_size", str(PAGE_SIZE_MAX)), ("cursor", "x" * CURSOR_BYTES_MAX)]
        filters = urlencode(self._list_parameters())
        around = len(f"GET {self.request.path}?&{urlencode(longest)} HTTP/1.1")
        if around + len(filters) > REQUEST_LINE_BYTES_MAX:
            raise invalid(
                "query",
                "filters_too_long",
                f"The filters have {len(filters)} bytes as a link writes them, and {REQUEST_LINE_BYTES_MAX - around} "
                "fit into one. Give fewer or shorter ones.",
            )

    def _scope(self) -> str:
        """Return the hash that a cursor is bound to: of the merchant and mode, the filters and the order."""
        api_key = self.request.auth
        owner = f"{api_key.merchant_id}:{api_key.mode}"  # type: ignore[union-attr] # HasScope saw to the key.
        parts = [owner, self.request.path, *self.order, urlencode(sorted(self._list_parameters()))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _list_parameters(self) -> list[tuple[str, str]]:
        return [
            (name, value)
            for name, values in self.request.query_params.lists()
            if name not in PAGE_PARAMETERS
            for value in values
        ]


def page_size_of(request: Request) -> int:
    """Return the number of results that a page is to have. Raises ValidationError."""
    value = request.query_params.get("page_size", str(PAGE_SIZE_DEFAULT))
    if not (value.isascii() and value.isdigit() and len(value) <= 3 and 1 <= int(value) <= PAGE_SIZE_MAX):
        raise invalid("page_size", "invalid", f"page_size is a whole number from 1 to {PAGE_SIZE_MAX}.")
    return int(value)
