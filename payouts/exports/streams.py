"""A streamed export: sent while it is read. Whatever ends it, its row says how."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from payouts import errors
from payouts.exports import cursor, formats, lifecycle
from payouts.exports.cursor import ExportCursor
from payouts.models import Export, PayoutQuerySet
from postgres.replica import routing

logger = logging.getLogger(__name__)

#: What any other statement of a web process may take (deploy/gunicorn.conf.py). A million rows take 2 s.
READING_SECONDS: Final = 15.0
#: How often it is noted that it is still being sent, a fraction of export_records.LEASE.
RENEWAL_SECONDS: Final = 15.0

#: The fastest: it takes away five sixths, and the slowest but a tenth more, in four times the time.
GZIP_LEVEL: Final = 1
#: The largest window of zlib, and 16: with the header and the trailer of gzip.
GZIP_WINDOW: Final = zlib.MAX_WBITS + 16

#: What is handed to the server at once.
PART_BYTES: Final = 64 * 1024

FAILED: Final = "It could not be read to its end."
WENT_AWAY: Final = "The client went away before the end."


def stream(export: Export, payouts: PayoutQuerySet, *, compressed: bool) -> Iterator[bytes]:
    """Find the payouts and return the bytes of their export; to close them early is to cancel it.

    Raises ExportTooLarge where they cannot be found in time.
    """
    try:
        rows = routing.read(lambda: _find(export, payouts))
    except cursor.QueryTimeout as error:
        lifecycle.fail(export, errors.ExportTooLarge().message)
        raise errors.ExportTooLarge from error
    except Exception:
        _note(lambda: lifecycle.fail(export, FAILED))
        raise
    body = _body(export, rows, compressed=compressed)
    # It stands at its first yield now. One that was never begun would not notice that it is closed.
    next(body)
    return body


def _find(export: Export, payouts: PayoutQuerySet) -> ExportCursor:
    return cursor.read(payouts, merchant_id=export.merchant_id, mode=export.mode, seconds_max=READING_SECONDS)


def _body(export: Export, rows: ExportCursor, *, compressed: bool) -> Generator[bytes]:
    writer = formats.FORMATS[export.format](bom=export.bom)
    try:
        yield b""
        pieces = _renewing(export, writer, rows.pieces(writer))
        yield from _gzipped(pieces) if compressed else pieces
        # Before the answer is ended: who has all of it finds it completed, and where this fails the answer has no end.
        lifecycle.complete(export, writer)
    except GeneratorExit as ending:
        reason = ending.__context__
        _note(lambda: _record_early_end(export, writer, reason))
        raise
    except lifecycle.LeaseLost:
        logger.info("export.stream.canceled", extra={"export_id": str(export.pk)})
        raise
    except Exception:
        logger.exception("export.stream.failed", extra={"export_id": str(export.pk)})
        _note(lambda: lifecycle.fail(export, FAILED))
        raise
    finally:
        rows.close()


def _record_early_end(export: Export, writer: formats.ExportWriter, reason: BaseException | None) -> None:
    """Note who ended the export early. The server closes its body while it handles what went wrong as it sent."""
    match reason:
        case TimeoutError():
            stalled = f"The client took nothing for {settings.SEND_TIMEOUT_SECONDS} seconds."
            lifecycle.mark_disconnected(export, rows_count=writer.rows_count, error=stalled)
        case None | OSError():
            lifecycle.mark_disconnected(export, rows_count=writer.rows_count, error=WENT_AWAY)
        case _:
            lifecycle.fail(export, FAILED)


def _renewing(export: Export, writer: formats.ExportWriter, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the pieces, and note now and then how far it is. Raises LeaseLost once it was canceled."""
    renewed_at = time.monotonic()
    for piece in _parts(pieces):
        yield piece
        if time.monotonic() - renewed_at >= RENEWAL_SECONDS:
            lifecycle.renew(export, rows_count=writer.rows_count)
            renewed_at = time.monotonic()


def _parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut the pieces up: a client that is slow takes minutes for a whole one."""
    for piece in pieces:
        for start in range(0, len(piece), PART_BYTES):
            yield piece[start : start + PART_BYTES]


def _gzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    squeeze = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    for piece in pieces:
        if squeezed := squeeze.compress(piece):
            yield squeezed
    yield squeeze.flush()


def _note(write: Callable[[], None]) -> None:
    """Write down how it ended, on another connection if that is what broke. The sweeper sees to what is not noted."""
    try:
        lifecycle.leave_broken_connection()
        write()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("export.note.failed", extra={"error": type(error).__name__})
