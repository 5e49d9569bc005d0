"""The life of an export. Each change is one conditional UPDATE: whoever comes too late changes nothing, and is told so.

Who makes an export holds its lease, and tells now and then that it still does. A lease that has run out is anybody's.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models.functions import Now

from accounts.models import Merchant, MerchantAPIKey
from payouts import errors
from payouts.exports import formats
from payouts.models import Export, ExportChunk, ExportKind, ExportQuerySet, ExportStatus

#: Longer than PostgreSQL may take to find the rows of a job (export_jobs.READING_SECONDS), and than a client may take
#: for a piece of a streamed one: 64 kB at a quarter of a kilobyte a second.
LEASE: Final = timedelta(minutes=5)

#: Each streamed export has a thread of a web process for itself, of which there are eight by default.
STREAMS_MAX: Final = 2
#: Each job may have a gigabyte of the database's disk until it expires.
JOBS_MAX: Final = 5

#: A job whose worker dies is begun again. One that has killed three of them is to blame itself.
ATTEMPTS_MAX: Final = 3

# The first half of the number of an advisory lock (payouts/engine/admission.py has two others).
_CLAIM_LOCK: Final = 0x50415951


class LeaseLost(Exception):
    """The export is no longer ours to make: it was canceled, or another has taken it over."""


@dataclass(frozen=True)
class ExportSpec:
    """What is asked for."""

    format: str
    filters: dict[str, Any]
    ordering: str
    bom: bool = False


def create_stream(spec: ExportSpec, *, api_key: MerchantAPIKey, actor: str) -> Export:
    """Note an export that is about to be sent. Raises TooManyExports."""
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


def create_job(spec: ExportSpec, *, api_key: MerchantAPIKey, actor: str) -> Export:
    """Note an export that a worker is to make. Raises TooManyExports."""
    unfinished = Export.objects.visible_to(api_key).jobs().unfinished()
    return _create(spec, api_key=api_key, others=unfinished, limit=JOBS_MAX, kind=ExportKind.JOB, actor=actor)


def _create(spec: ExportSpec, *, api_key: MerchantAPIKey, others: ExportQuerySet, limit: int, **columns: Any) -> Export:
    with transaction.atomic():
        # Of two requests at once only one may have the last place. Payouts can refer to the merchant meanwhile.
        Merchant.objects.select_for_update(no_key=True).get(pk=api_key.merchant_id)
        if others.count() >= limit:
            raise errors.TooManyExports
        return Export.objects.create(merchant_id=api_key.merchant_id, mode=api_key.mode, **vars(spec), **columns)


def claim(export_id: uuid.UUID) -> Export | None:
    """Take a job that is pending, or whose worker has died; None: it is taken, has ended, or enough are under way.

    What a dead worker has left of it is deleted.
    """
    abandoned = models.Q(status=ExportStatus.RUNNING, lease_expires_at__lte=Now(), attempts_count__lt=ATTEMPTS_MAX)
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
    """Let the claims that come now wait until this one is committed: each is to see who has claimed before."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [_CLAIM_LOCK])


def next_pending() -> uuid.UUID | None:
    """Return the job that has waited longest for a worker."""
    pending = Export.objects.jobs().filter(status=ExportStatus.PENDING)
    return pending.order_by("created_at").values_list("pk", flat=True).first()


def renew(export: Export, *, rows_count: int) -> None:
    """Tell that it is still being made, and how far it is. Raises LeaseLost."""
    if not _held(export).update(rows_count=rows_count, lease_expires_at=Now() + LEASE):
        raise LeaseLost


def store(export: Export, *, number: int, body: bytes, rows_count: int) -> None:
    """Keep the next piece of a job. Raises LeaseLost, and keeps nothing then."""
    with transaction.atomic(durable=True):
        renew(export, rows_count=rows_count)
        ExportChunk.objects.create(export_id=export.pk, number=number, body=body)


def complete(export: Export, writer: formats.ExportWriter, *, stored_bytes: int = 0) -> None:
    """Write down what was made. Raises LeaseLost."""
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
    """Give it up for good, unless it is no longer ours."""
    _end(_held(export), ExportStatus.FAILED, error=error)


def release(export: Export) -> None:
    """Let another worker try at once, unless it is no longer ours."""
    _held(export).update(lease_expires_at=Now())


def mark_disconnected(export: Export, *, rows_count: int, error: str) -> None:
    """Note that the client of a streamed export ended it, and how many rows it may have."""
    _end(_held(export), ExportStatus.CANCELED, rows_count=rows_count, error=error)


def cancel(export: Export) -> Export:
    """Call it off, and return it as it is now; one that is canceled already is returned as it is.

    Raises ExportNotCancelable for one that has ended otherwise.
    """
    _end(Export.objects.filter(pk=export.pk).unfinished(), ExportStatus.CANCELED)
    current = Export.objects.get(pk=export.pk)
    if current.status != ExportStatus.CANCELED:
        raise errors.ExportNotCancelable(f"The export is {current.status}. {errors.ExportNotCancelable().message}")
    return current


def fail_abandoned() -> int:
    """Give up the streamed exports whose process has died, and the jobs that no further worker is to be given."""
    given_up = models.Q(kind=ExportKind.STREAM) | models.Q(attempts_count__gte=ATTEMPTS_MAX)
    return _end(Export.objects.abandoned().filter(given_up), ExportStatus.FAILED, error="It could not be finished.")


def expire() -> int:
    """Let go of those that have been kept for long enough."""
    return Export.objects.filter(status=ExportStatus.COMPLETED, expires_at__lte=Now()).update(
        status=ExportStatus.EXPIRED
    )


def leave_broken_connection() -> None:
    """Let the next statement have a new connection where what went wrong has broken the one that there is."""
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


def _held(export: Export) -> ExportQuerySet:
    assert export.lease_token is not None
    return Export.objects.filter(pk=export.pk).held_by(export.lease_token)


def _end(exports: ExportQuerySet, status: ExportStatus, **columns: Any) -> int:
    return exports.update(status=status, lease_token=None, lease_expires_at=None, finished_at=Now(), **columns)
