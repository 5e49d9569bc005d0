"""The worker's part of exports: claim an export, read its payouts, store them piece by piece.

No transaction spans two pieces. If a worker dies, its lease runs out, and the next worker starts over with a new
query.
"""

from __future__ import annotations

import gzip
import logging
import time
import uuid
from dataclasses import dataclass
from typing import Final

from payouts.exports import cursor, formats, lifecycle, storage
from payouts.exports.cursor import ExportCursor
from payouts.filters.selection import Selection
from payouts.models import Export, PayoutQuerySet
from postgres.replica import routing
from rest.parameters import ParametersRefused

logger = logging.getLogger(__name__)

#: As in exports/streams.py.
GZIP_LEVEL: Final = 1


@dataclass(frozen=True)
class Limits:
    """What a job may take."""

    #: Time limit of the query: less than a lease. Ten million rows take half a minute.
    reading_seconds: float = 240.0
    #: Time limit of a job. Celery ends a task after half an hour (tasks.py).
    job_seconds: float = 25 * 60.0
    pieces: cursor.Limits = cursor.LIMITS


LIMITS: Final = Limits()


class ExportFailed(Exception):
    """The export fails, and a retry would not help. The message is for the merchant."""


def run(export_id: uuid.UUID, *, limits: Limits = LIMITS) -> uuid.UUID | None:
    """Make this export unless another worker does, and return the next pending export, if any."""
    export = lifecycle.claim(export_id)
    if export is None:
        return None
    extra = {"export_id": str(export_id)}
    try:
        _make(export, limits)
        logger.info("export.completed", extra=extra)
    except ExportFailed as error:
        logger.warning("export.failed", extra={**extra, "error": str(error)})
        lifecycle.fail(export, str(error))
    except lifecycle.LeaseLost:
        logger.info("export.lost", extra=extra)
    except Exception:
        # The cause may pass: a restart of the database, or of the worker.
        logger.exception("export.attempt.failed", extra=extra)
        lifecycle.leave_broken_connection()
        lifecycle.release(export)
    return lifecycle.next_pending()


def _make(export: Export, limits: Limits) -> None:
    rows = _read(export, limits)
    try:
        _store(export, rows, limits)
    finally:
        rows.close()


def _read(export: Export, limits: Limits) -> ExportCursor:
    try:
        selection = Selection.of(export.filters, merchant_id=export.merchant_id, mode=export.mode)
        payouts = selection.in_order(export.ordering)
        return routing.read(lambda: _find(export, payouts, limits))
    except ParametersRefused as error:
        raise ExportFailed("Its filters are no longer understood. Ask for it again.") from error
    except cursor.QueryTimeout as error:
        raise ExportFailed("To find these payouts takes too long. Ask for those of a shorter time.") from error


def _find(export: Export, payouts: PayoutQuerySet, limits: Limits) -> ExportCursor:
    return cursor.read(
        payouts,
        merchant_id=export.merchant_id,
        mode=export.mode,
        seconds_max=limits.reading_seconds,
        limits=limits.pieces,
    )


def _store(export: Export, rows: ExportCursor, limits: Limits) -> None:
    ends_at = time.monotonic() + limits.job_seconds
    writer = formats.FORMATS[export.format](bom=export.bom)
    stored_bytes = 0
    for number, piece in enumerate(rows.pieces(writer)):
        if time.monotonic() > ends_at:
            raise ExportFailed("It took too long. Ask for the payouts of a shorter time.")
        body = gzip.compress(piece, GZIP_LEVEL, mtime=0)
        if not storage.has_room(export, for_bytes=len(body)):
            raise ExportFailed(
                "The exports that are kept leave it no room. Ask for fewer payouts, or wait until some expire."
            )
        lifecycle.store(export, number=number, body=body, rows_count=writer.rows_count)
        stored_bytes += len(body)
    lifecycle.complete(export, writer, stored_bytes=stored_bytes)
