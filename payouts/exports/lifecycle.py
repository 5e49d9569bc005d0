"""The life of an export. Each change is one conditional UPDATE: a late one changes no row, and the caller sees that.

The process that makes an export renews its lease. Another may claim the export once the lease has run out.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models.functions import Now

from accounts.callers import Caller
from accounts.models import Merchant
from payouts import errors
from payouts.exports import formats
from payouts.models import Export, ExportChunk, ExportKind, ExportQuerySet, ExportStatus, lease_ended
from postgres import rows

#: Longer than the query of a job may take (jobs.Limits), and than a client may take for a part of a stream:
#: 64 kB at a quarter of a kilobyte a second.
LEASE: Final = timedelta(minutes=5)

#: Each stream occupies a thread of a web process, which has eight by default.
STREAMS_MAX: Final = 2
#: A job may take a gigabyte of the database's disk until it expires.
JOBS_MAX: Final = 5

#: A job whose worker dies is retried. After three dead workers the job is the likely cause.
ATTEMPTS_MAX: Final = 3

# First half of the advisory lock's number (payouts/engine/admission.py has two others).
_CLAIM_LOCK: Final = 0x50415951


class LeaseLost(Exception):
    """The export was canceled, or another worker has claimed it."""


@dataclass(frozen=True)
class ExportSpec:
    """A merchant's request."""

    format: str
    #: In their JSON form (payouts/filters/filterset.py).
    filters: Mapping[str, Any]
    ordering: str
    bom: bool = False


def create_stream(spec: ExportSpec, *, api_key: Caller, actor: str) -> Export:
    """Create an export to stream at once. Raises TooManyExports."""
    held = Export.objects.visible_to(api_key).filter(kind=ExportKind.STREAM).held()
    lease = {"lease_token": uuid.uuid4(), "lease_expires_at": Now() + LEASE, "started_at": Now()}
    return _create(
        spec,
        api_key=api_key,
        others=held,
        limit=STREAMS_MAX,
        kind=ExportKind.STREAM,
        status=ExportStatus.RUNNING,
        actor=actor,
        **lease,
    )


def create_job(spec: ExportSpec, *, api_key: Caller, actor: str) -> Export:
    """Create an export for a worker to make. Raises TooManyExports."""
    unfinished = Export.objects.visible_to(api_key).jobs().unfinished()
    return _create(spec, api_key=api_key, others=unfinished, limit=JOBS_MAX, kind=ExportKind.JOB, actor=actor)


def _create(spec: ExportSpec, *, api_key: Caller, others: ExportQuerySet, limit: int, **columns: Any) -> Export:
    with transaction.atomic():
        # Only one of two concurrent requests may take the last place. New payouts do not wait for this lock.
        Merchant.objects.select_for_update(no_key=True).get(pk=api_key.merchant_id)
        if others.count() >= limit:
            raise errors.TooManyExports
        return Export.objects.create(merchant_id=api_key.merchant_id, mode=api_key.mode, **vars(spec), **columns)


def claim(export_id: uuid.UUID) -> Export | None:
    """Claim a job that is pending or whose worker has died, and delete its chunks.

    None if another worker has the job, it is finished, or the limit is reached.
    """
    abandoned = lease_ended() & models.Q(status=ExportStatus.RUNNING, attempts_count__lt=ATTEMPTS_MAX)
    free = Export.objects.jobs().filter(models.Q(status=ExportStatus.PENDING) | abandoned, pk=export_id)
    with transaction.atomic(durable=True):
        _lock_claims()
        if Export.objects.jobs().held().count() >= settings.EXPORT_CONCURRENCY:
            return None
        if not free.update(
            status=ExportStatus.RUNNING,
            lease_token=uuid.uuid4(),
            lease_expires_at=Now() + LEASE,
            attempts_count=models.F("attempts_count") + 1,
            started_at=Now(),
            rows_count=0,
            is_stored=True,
        ):
            return None
        ExportChunk.objects.filter(export_id=export_id).delete()
        return Export.objects.get(pk=export_id)


def _lock_claims() -> None:
    """Let later claims wait until this one has committed, so that each counts all earlier claims."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_CLAIM_LOCK])


def next_pending() -> uuid.UUID | None:
    """Return the oldest pending job."""
    pending = Export.objects.jobs().filter(status=ExportStatus.PENDING)
    return pending.order_by("created_at").values_list("pk", flat=True).first()


def renew(export: Export, *, rows_count: int) -> None:
    """Renew the lease and record the progress. Raises LeaseLost."""
    if not _held(export).update(rows_count=rows_count, lease_expires_at=Now() + LEASE):
        raise LeaseLost


def store(export: Export, *, number: int, body: bytes, rows_count: int) -> None:
    """Store the next piece of a job. Raises LeaseLost and stores nothing then."""
    with transaction.atomic(durable=True):
        renew(export, rows_count=rows_count)
        ExportChunk.objects.create(export_id=export.pk, number=number, body=body)


def complete(export: Export, writer: formats.ExportWriter, *, stored_bytes: int = 0) -> None:
    """Complete the export. Raises LeaseLost."""
    kept = {"expires_at": Now() + timedelta(days=settings.EXPORT_DAYS)} if export.kind == ExportKind.JOB else {}
    if not _end(
        _held(export),
        ExportStatus.COMPLETED,
        rows_count=writer.rows_count,
        amounts=writer.amounts,
        size_bytes=writer.size_bytes,
        sha256=writer.sha256,
        stored_bytes=stored_bytes,
        **kept,
    ):
        raise LeaseLost


def fail(export: Export, error: str) -> None:
    """Fail the export, unless the lease is lost."""
    _end(_held(export), ExportStatus.FAILED, error=error)


def release(export: Export) -> None:
    """End the lease, if still held: another worker may claim the job."""
    _held(export).update(lease_expires_at=Now())


def mark_disconnected(export: Export, *, rows_count: int, error: str) -> None:
    """Record that the client ended the stream, and how many rows it may have received."""
    _end(_held(export), ExportStatus.CANCELED, rows_count=rows_count, error=error)


def cancel(export: Export) -> Export:
    """Cancel the export, if it is not canceled yet, and return its current state.

    Raises ExportNotCancelable if the export has ended otherwise.
    """
    _end(Export.objects.filter(pk=export.pk).unfinished(), ExportStatus.CANCELED)
    current = Export.objects.get(pk=export.pk)
    if current.status != ExportStatus.CANCELED:
        raise errors.ExportNotCancelable(f"The export is {current.status}. {errors.ExportNotCancelable().message}")
    return current


def fail_abandoned() -> int:
    """Fail the streams whose process has died, and the jobs that have used up their attempts."""
    given_up = models.Q(kind=ExportKind.STREAM) | models.Q(attempts_count__gte=ATTEMPTS_MAX)
    ended = _ended(ExportStatus.FAILED)
    return rows.update(
        Export.objects.abandoned().filter(given_up), "export", **ended, error="It could not be finished."
    )


def expire() -> int:
    """Expire the exports past their retention."""
    over = Export.objects.filter(status=ExportStatus.COMPLETED, expires_at__lte=Now())
    return rows.update(over, "export", status=ExportStatus.EXPIRED)


def leave_broken_connection() -> None:
    """Close a broken connection, so that the next statement opens a new one."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def _held(export: Export) -> ExportQuerySet:
    assert export.lease_token is not None
    return Export.objects.filter(pk=export.pk).held_by(export.lease_token)


def _end(exports: ExportQuerySet, status: ExportStatus, **columns: Any) -> int:
    return exports.update(**_ended(status), **columns)


def _ended(status: ExportStatus) -> dict[str, Any]:
    return {"status": status, "lease_token": None, "lease_expires_at": None, "finished_at": Now()}
