"""A streamed export, sent while it is read. Its row records every kind of end."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from payouts import errors
from payouts.exports import cursor, formats, lifecycle
from payouts.exports.cursor import ExportCursor
from payouts.models import Export, PayoutQuerySet
from postgres.replica import routing

logger = logging.getLogger(__name__)

#: The fastest level saves five sixths. The slowest saves a tenth more in four times the time.
GZIP_LEVEL: Final = 1
#: The largest window of zlib; plus 16 selects the gzip format.
GZIP_WINDOW: Final = zlib.MAX_WBITS + 16

#: Size of a part for the server.
PART_BYTES: Final = 64 * 1024

FAILED: Final = "It could not be read to its end."
WENT_AWAY: Final = "The client went away before the end."


@dataclass(frozen=True)
class Limits:
    """What a stream may take."""

    #: Time limit of the query. A million rows take 2 s.
    reading_seconds: float = float(settings.REPORT_TIMEOUT_SECONDS)
    #: Interval between renewals, a fraction of lifecycle.LEASE.
    renewal_seconds: float = 15.0
    pieces: cursor.Limits = cursor.LIMITS


LIMITS: Final = Limits()


def stream(export: Export, payouts: PayoutQuerySet, *, compressed: bool, limits: Limits = LIMITS) -> Iterator[bytes]:
    """Query the payouts and return the bytes of the export. Closing the iterator early cancels the export.

    Raises ExportTooLarge if the query takes too long.
    """
    try:
        rows = routing.read(lambda: _find(export, payouts, limits))
    except cursor.QueryTimeout as error:
        lifecycle.fail(export, errors.ExportTooLarge().message)
        raise errors.ExportTooLarge from error
    except Exception:
        _note(lambda: lifecycle.fail(export, FAILED))
        raise
    body = _body(export, rows, compressed=compressed, renewal_seconds=limits.renewal_seconds)
    # Advance to the first yield: a generator that has not started does not notice its close.
    next(body)
    return body


def _find(export: Export, payouts: PayoutQuerySet, limits: Limits) -> ExportCursor:
    return cursor.read(
        payouts,
        merchant_id=export.merchant_id,
        mode=export.mode,
        seconds_max=limits.reading_seconds,
        limits=limits.pieces,
    )


def _body(export: Export, rows: ExportCursor, *, compressed: bool, renewal_seconds: float) -> Generator[bytes]:
    writer = formats.FORMATS[export.format](bom=export.bom)
    try:
        yield b""
        pieces = _renewing(export, writer, rows.pieces(writer), seconds=renewal_seconds)
        yield from _gzipped(pieces) if compressed else pieces
        # Before the end of the response: a full response means a completed export. If this fails, the response is cut.
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
    """Record the early end. The server closes the body while it handles the error of sending."""
    match reason:
        case TimeoutError():
            stalled = f"The client took nothing for {settings.SEND_TIMEOUT_SECONDS} seconds."
            lifecycle.mark_disconnected(export, rows_count=writer.rows_count, error=stalled)
        case None | OSError():
            lifecycle.mark_disconnected(export, rows_count=writer.rows_count, error=WENT_AWAY)
        case _:
            lifecycle.fail(export, FAILED)


def _renewing(
    export: Export, writer: formats.ExportWriter, pieces: Iterator[bytes], *, seconds: float
) -> Iterator[bytes]:
    """Yield the pieces and renew the lease. Raises LeaseLost after a cancellation."""
    renewed_at = time.monotonic()
    for piece in _parts(pieces):
        yield piece
        if time.monotonic() - renewed_at >= seconds:
            lifecycle.renew(export, rows_count=writer.rows_count)
            renewed_at = time.monotonic()


def _parts(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Split the pieces: a slow client takes minutes for a whole piece."""
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
    """Record the end, on a new connection if the old one broke. If this fails, the sweeper fails the export."""
    try:
        lifecycle.leave_broken_connection()
        write()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("export.note.failed", extra={"error": type(error).__name__})
