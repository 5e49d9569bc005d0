"""The payouts of an export, all of one moment, read through a cursor that outlives its transaction.

# Note [One moment, no transaction]
Outside of a transaction the cursor is declared WITH HOLD: PostgreSQL runs the whole query at once and keeps what it
found in a temporary file. All rows are of one snapshot, and from then on nothing is held open: a client that takes an
hour for its export holds no snapshot that vacuum would have to wait for, no transaction that a time limit would end,
and on a replica none that a conflict with recovery would cancel.

PostgreSQL finds the rows when the declaration's own transaction commits, and by then it has put `statement_timeout`
off. So the time is limited here, by a timer that cancels.

# Note [A cursor that is ours]
A cursor belongs to a session of PostgreSQL, and a pooler may give each statement another session. Django names its
cursors by a counter, and processes that were forked count alike: one would fetch from the cursor of another merchant's
export. So a cursor has a name that no other ever has, and a FETCH in a wrong session fails. Whatever is fetched all the
same must be of the merchant and mode that the export is of, or the export fails.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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

#: Rows that are fetched at once: more were not faster. Where every field is filled to its limit they have 25 MB.
ROWS: Final = 500
#: What is handed on at once: a process that sends an export holds one or two of these.
PIECE_BYTES: Final = 1_000_000
#: Seconds that cancelling may take.
CANCEL_SECONDS: Final = 5.0

# The objects that psycopg makes of these by default are slow to make, and would only be written down again. The session
# is in UTC: Django sees to it.
_TEXTS: Final = ("uuid", "timestamptz", "jsonb")
# Whose a row is: read behind the columns of the file, and not written.
_OWNER: Final = ("merchant_id", "mode")


class QueryTimeout(Exception):
    """The rows were not found in time."""


class ForeignRows(Exception):
    """Rows came that are not of this export. Nothing of them was handed on."""


class ExportCursor:
    """Rows that have been found and wait to be fetched."""

    def __init__(self, cursor: Any, *, merchant_id: uuid.UUID, mode: str) -> None:
        self._cursor = cursor
        self._owner = {(str(merchant_id), mode)}

    def pieces(self, writer: formats.ExportWriter) -> Iterator[bytes]:
        """Yield the whole export, in pieces of about PIECE_BYTES. Raises ForeignRows."""
        piece = bytearray(writer.header())
        while rows := self._fetch():
            piece += writer.rows(rows)
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        # Before the end is handed on: a session that does not know the cursor refuses.
        self.close()
        piece += writer.trailer()
        if piece:
            yield bytes(piece)

    def close(self) -> None:
        """Have the database forget the rows. A connection that is broken has forgotten them already."""
        if self._cursor is not None:
            with self._cursor:
                pass

    def _fetch(self) -> list[Row]:
        rows = [] if self._cursor is None else self._cursor.fetchmany(ROWS)
        if rows and {row[-2:] for row in rows} != self._owner:
            raise ForeignRows
        return [row[:-2] for row in rows]


def read(payouts: QuerySet[Payout], *, merchant_id: uuid.UUID, mode: str, seconds_max: float) -> ExportCursor:
    """Find the rows of an export, in the order of the query; all are of this merchant and mode. Raises QueryTimeout.

    See Note [One moment, no transaction] and Note [A cursor that is ours].
    """
    connection = connections[payouts.db]
    selected = payouts.values_list(*formats.COLUMNS, *_OWNER)
    try:
        sql, parameters = selected.query.get_compiler(payouts.db).as_sql()
    except EmptyResultSet:
        return ExportCursor(None, merchant_id=merchant_id, mode=mode)
    cursor = _open_cursor(connection)
    export_cursor = ExportCursor(cursor, merchant_id=merchant_id, mode=mode)
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
    """Cancel what the connection does after so many seconds."""
    is_over = threading.Event()

    def cancel() -> None:
        is_over.set()
        try:
            connection.cancel_safe(timeout=CANCEL_SECONDS)
        except psycopg.Error as error:
            # The query goes on to its end, and whoever waits for it with it.
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
        # It ended as it was being cancelled, and the next statement may be what is cancelled.
        raise QueryTimeout
