"""The payouts of an export, all from one snapshot, read through a cursor that outlives its transaction.

# Note [One moment, no transaction]
Outside of a transaction the cursor is declared WITH HOLD: PostgreSQL runs the whole query at once and keeps the result
in a temporary file. All rows are of one snapshot, and no transaction stays open. So a client that takes an hour
for its export does not delay vacuum, and neither a time limit nor a conflict with a replica's recovery can end the
export.

PostgreSQL runs the query when the declaration's transaction commits, and has switched `statement_timeout` off by then.
So a timer here cancels a query that takes too long.

# Note [A cursor that is ours]
A cursor belongs to a session of PostgreSQL, and a pooler may give each statement another session. Django names its
cursors by a counter, and forked processes count alike: one could fetch from the cursor of another merchant's export.
So each cursor has a unique name, and a FETCH in a wrong session fails. As a second check, each row must have the
merchant and mode of the export, or the export fails.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import DatabaseError, connections
from django.db.models import QuerySet
from psycopg.types.string import TextLoader

from payouts.exports import formats
from payouts.exports.formats import Row
from payouts.models import Payout

logger = logging.getLogger(__name__)

#: Time limit of a cancellation.
CANCEL_SECONDS: Final = 5.0

# Read as text: psycopg's objects are slow to make and would only be turned into text again. Django sets the session to
# UTC.
_TEXTS: Final = ("uuid", "timestamptz", "jsonb")
# The owner of a row: read behind the file's columns, and not written.
_OWNER: Final = ("merchant_id", "mode")


@dataclass(frozen=True)
class Limits:
    """How much of an export is in memory."""

    #: Rows per fetch: more were not faster. With every field at its limit they have 25 MB.
    rows: int = 500
    #: Size of a piece. A process that sends an export holds one or two of them.
    piece_bytes: int = 1_000_000


LIMITS: Final = Limits()


class QueryTimeout(Exception):
    """The query exceeded its time."""


class ForeignRows(Exception):
    """The cursor returned rows of another owner. None of them was sent."""


class ExportCursor:
    """The result of an export's query, to be fetched."""

    def __init__(self, cursor: Any, *, merchant_id: uuid.UUID, mode: str, limits: Limits) -> None:
        self._cursor = cursor
        self._limits = limits
        self._owner = {(str(merchant_id), mode)}

    def pieces(self, writer: formats.ExportWriter) -> Iterator[bytes]:
        """Yield the whole export, in pieces of about the size that the limits say. Raises ForeignRows."""
        piece = bytearray(writer.header())
        while rows := self._fetch():
            piece += writer.rows(rows)
            if len(piece) >= self._limits.piece_bytes:
                yield bytes(piece)
                piece.clear()
        # Before the last piece: a session that does not know the cursor refuses.
        self.close()
        piece += writer.trailer()
        if piece:
            yield bytes(piece)

    def close(self) -> None:
        """Close the cursor in the database. A broken connection has already closed it."""
        if self._cursor is not None:
            with self._cursor:
                pass

    def _fetch(self) -> list[Row]:
        rows = [] if self._cursor is None else self._cursor.fetchmany(self._limits.rows)
        if rows and {row[-2:] for row in rows} != self._owner:
            raise ForeignRows
        return [row[:-2] for row in rows]


def read(
    payouts: QuerySet[Payout], *, merchant_id: uuid.UUID, mode: str, seconds_max: float, limits: Limits = LIMITS
) -> ExportCursor:
    """Run an export's query for this merchant and mode, and return its cursor. Raises QueryTimeout.

    See Note [One moment, no transaction] and Note [A cursor that is ours].
    """
    connection = connections[payouts.db]
    selected = payouts.values_list(*formats.COLUMNS, *_OWNER)
    try:
        sql, parameters = selected.query.get_compiler(payouts.db).as_sql()
    except EmptyResultSet:
        return ExportCursor(None, merchant_id=merchant_id, mode=mode, limits=limits)
    cursor = _open_cursor(connection)
    export_cursor = ExportCursor(cursor, merchant_id=merchant_id, mode=mode, limits=limits)
    try:
        with _at_most(seconds_max, connection.connection):
            cursor.execute(sql, parameters)
    except BaseException:
        export_cursor.close()
        raise
    return export_cursor


def _open_cursor(connection: Any) -> Any:
    connection.ensure_connection()
    cursor = connection.make_cursor(connection.create_cursor(f"payouts_export_{uuid.uuid4()}"))
    for name in _TEXTS:
        cursor.adapters.register_loader(name, TextLoader)
    return cursor


@contextmanager
def _at_most(seconds: float, connection: psycopg.Connection) -> Iterator[None]:
    """Cancel the connection's statement after this time."""
    is_over = threading.Event()

    def cancel() -> None:
        is_over.set()
        try:
            connection.cancel_safe(timeout=CANCEL_SECONDS)
        except psycopg.Error as error:
            # The query runs to its end, and its caller waits.
            logger.warning("export.cancel.failed", extra={"error": type(error).__name__})

    timer = threading.Timer(seconds, cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    except DatabaseError as error:
        if is_over.is_set():
            raise QueryTimeout from error
        raise
    finally:
        timer.cancel()
        timer.join()
    if is_over.is_set():
        # The query ended during the cancellation, which may hit the next statement.
        raise QueryTimeout
