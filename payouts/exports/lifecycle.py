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
from payouts.exports import formats, storage
from payouts.models import (
    UNFINISHED,
    Export,
    ExportChunk,
    ExportKind,
    ExportQuerySet,
    ExportStatus,
    Payout,
    lease_ended,
)
from postgres import rows

#: Longer than the query of a job may take (jobs.Limits), and than a client may take for a part of a stream:
#: 64 kB at a quarter of a kilobyte a second.
LEASE: Final = timedelta(minutes=5)

#: Each stream occupies a thread of a web process, which has eight by default.
STREAMS_MAX: Final = 2
#: A job may take a gigabyte of the database's disk until it expires.
JOBS_MAX: Final = 5

#: A job that was asked for in the same words so lately is answered again, if nothing has changed since it began.
SAME_FOR: Final = timedelta(minutes=10)
#: A change gets its time before it is visible. No transaction of ours lasts so long.
CHANGE_MARGIN: Final = timedelta(minutes=1)

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


def create_job(spec: ExportSpec, *, api_key: Caller, actor: str) -> tuple[Export, bool]:
    """Create an export for a worker to make. Or return the same one that there is, and False.

    Raises TooManyExports or ExportStorageFull.
    """
    unfinished = Export.objects.visible_to(api_key).jobs().unfinished()
    with transaction.atomic():
        _lock_merchant(api_key)
        if (same := _same_job(spec, api_key)) is not None:
            return same, False
        storage.require_room(merchant_id=api_key.merchant_id, mode=api_key.mode)
        made = _create(spec, api_key=api_key, others=unfinished, limit=JOBS_MAX, kind=ExportKind.JOB, actor=actor)
        return made, True


def _same_job(spec: ExportSpec, api_key: Caller) -> Export | None:
    """Return a recent job whose file has, or will have, what a new one would have."""
    usable = (*UNFINISHED, ExportStatus.COMPLETED)
    recent = Export.objects.visible_to(api_key).jobs().filter(created_at__gt=Now() - SAME_FOR, status__in=usable)
    export = recent.filter(**vars(spec)).order_by("-created_at").first()
    if export is None or export.status == ExportStatus.PENDING:
        return export
    assert export.started_at is not None
    payouts = Payout.objects.of_merchant(api_key.merchant_id, api_key.mode)
    return None if payouts.filter(updated_at__gte=export.started_at - CHANGE_MARGIN).exists() else export


def _lock_merchant(api_key: Caller) -> None:
    """Let the merchant's other requests for exports wait: only one of two may take the last place, or create a job.

    New payouts do not wait for this lock.
    """
    Merchant.objects.select_for_update(no_key=True).get(pk=api_key.merchant_id)


def _create(spec: ExportSpec, *, api_key: Caller, others: ExportQuerySet, limit: int, **columns: Any) -> Export:
    with transaction.atomic():
        _lock_merchant(api_key)
        if others.count() >= limit:
            raise errors.TooManyExports
        return Export.objects.create(merchant_id=api_key.merchant_id, mode=api_key.mode, **vars(spec), **columns)


def claim(export_id: uuid.UUID) -> Export | None:
    """Claim the job whose turn it is, and delete its chunks: this one, or one of a merchant who has waited longer.

    None if another worker has the job, it is finished, or the limit is reached.
    """
    with transaction.atomic(durable=True):
        _lock_claims()
        if Export.objects.jobs().held().count() >= settings.EXPORT_CONCURRENCY:
            return None
        if not _free().filter(pk=export_id).exists():
            return None
        export_id = _in_turn(_free(), first=export_id).values_list("pk", flat=True)[0]
        begun = {"rows_count": 0, "stored_bytes": 0, "is_stored": True, "started_at": Now()}
        lease = {"lease_token": uuid.uuid4(), "lease_expires_at": Now() + LEASE}
        tries = {"attempts_count": models.F("attempts_count") + 1}
        if not _free().filter(pk=export_id).update(status=ExportStatus.RUNNING, **begun, **lease, **tries):
            return None
        ExportChunk.objects.filter(export_id=export_id).delete()
        return Export.objects.get(pk=export_id)


def _free() -> ExportQuerySet:
    """Jobs that wait for a worker, or whose worker has died."""
    abandoned = lease_ended() & models.Q(status=ExportStatus.RUNNING, attempts_count__lt=ATTEMPTS_MAX)
    return Export.objects.jobs().filter(models.Q(status=ExportStatus.PENDING) | abandoned)


def _in_turn(waiting: ExportQuerySet, *, first: uuid.UUID | None = None) -> ExportQuerySet:
    """Order jobs so that merchants take turns: first comes the merchant whose last job began the longest ago.

    Of one merchant `first` comes first, and then the oldest.
    """
    begun = Export.objects.filter(merchant_id=models.OuterRef("merchant_id"), is_stored=True, started_at__isnull=False)
    last_begun = models.Subquery(begun.order_by("-started_at").values("started_at")[:1])
    is_other = models.Case(models.When(pk=first, then=0), default=1)
    turns = (models.F("last_begun").asc(nulls_first=True), is_other, "created_at")
    return waiting.annotate(last_begun=last_begun).order_by(*turns)


def _lock_claims() -> None:
    """Let later claims wait until this one has committed, so that each counts all earlier claims."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_CLAIM_LOCK])


def next_pending() -> uuid.UUID | None:
    """Return the pending job whose turn it is."""
    pending = Export.objects.jobs().filter(status=ExportStatus.PENDING)
    return _in_turn(pending).values_list("pk", flat=True).first()


def renew(export: Export, *, rows_count: int) -> None:
    """Renew the lease and record the progress. Raises LeaseLost."""
    _renew(export, rows_count=rows_count)


def _renew(export: Export, **progress: Any) -> None:
    if not _held(export).update(lease_expires_at=Now() + LEASE, **progress):
        raise LeaseLost


def store(export: Export, *, number: int, body: bytes, rows_count: int) -> None:
    """Store the next piece of a job. Raises LeaseLost and stores nothing then."""
    stored_bytes = models.F("stored_bytes") + len(body)
    with transaction.atomic(durable=True):
        _renew(export, rows_count=rows_count, stored_bytes=stored_bytes)
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
