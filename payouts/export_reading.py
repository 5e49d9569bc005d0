"""The payouts of an export, all of one moment, read through a cursor that outlives its transaction.

# Note [One moment, no transaction]
Outside of a transaction the cursor is declared WITH HOLD: PostgreSQL runs the whole query at once and keeps what it
found in a temporary file. All rows are of one snapshot, and from then on nothing is held open: a client that takes an
hour for its export holds no snapshot that vacuum would have to wait for, no transaction that a time limit would end,
and on a replica none that a conflict with recovery would cancel.

PostgreSQL finds the rows when the declaration's own transaction commits, and by then it has put `statement_timeout`
off. So the time is limited here, by a timer that cancels.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import DatabaseError, connections
from django.db.models import QuerySet
from psycopg.types.string import TextLoader

from payouts import export_formats
from payouts.export_formats import Row
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


class TookTooLong(Exception):
    """The rows were not found in time."""


class Reading:
    """Rows that have been found and wait to be fetched."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def pieces(self, export: export_formats.Export) -> Iterator[bytes]:
        """Yield the whole export, in pieces of about PIECE_BYTES."""
        piece = bytearray(export.head())
        while rows := self._fetch():
            piece += export.lines(rows)
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        piece += export.tail()
        if piece:
            yield bytes(piece)

    def close(self) -> None:
        """Have the database forget the rows. A connection that is broken has forgotten them already."""
        if self._cursor is not None:
            with self._cursor:
                pass

    def _fetch(self) -> list[Row]:
        return [] if self._cursor is None else self._cursor.fetchmany(ROWS)


def read(payouts: QuerySet[Payout], *, seconds_max: float) -> Reading:
    """Find the rows of an export, in the order of the query. Raises TookTooLong.

    See Note [One moment, no transaction].
    """
    connection = connections[payouts.db]
    try:
        sql, parameters = payouts.values_list(*export_formats.COLUMNS).query.get_compiler(payouts.db).as_sql()
    except EmptyResultSet:
        return Reading(None)
    cursor = connection.chunked_cursor()
    for name in _TEXTS:
        cursor.adapters.register_loader(name, TextLoader)
    reading = Reading(cursor)
    try:
        with _at_most(seconds_max, connection.connection):
            cursor.execute(sql, parameters)
    except BaseException:
        reading.close()
        raise
    return reading


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
            raise TookTooLong from error
        raise
    finally:
        timer.cancel()
        timer.join()
    if is_over.is_set():
        # It ended as it was being cancelled, and the next statement may be what is cancelled.
        raise TookTooLong
