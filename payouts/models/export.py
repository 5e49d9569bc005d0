"""Exports, and the stored chunks of those that are made in the background."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar, Final, Self

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from accounts.callers import Caller
from accounts.models import Merchant, Mode
from payouts import limits


class ExportStatus(models.TextChoices):
    """Status of an export. The last four are final, except that a completed one expires."""

    #: Waits for a worker.
    PENDING = "pending", "Pending"
    #: A worker with a lease makes it.
    RUNNING = "running", "Running"
    #: Complete: delivered, or stored for download.
    COMPLETED = "completed", "Completed"
    #: The export failed, or its process ended first.
    FAILED = "failed", "Failed"
    #: Canceled, or the client of a stream disconnected.
    CANCELED = "canceled", "Canceled"
    #: Completed, and stored no longer.
    EXPIRED = "expired", "Expired"


class ExportKind(models.TextChoices):
    #: Made while it is sent.
    STREAM = "stream", "Stream"
    #: Made by a worker, and stored for a while.
    JOB = "job", "Job"


class ExportFormat(models.TextChoices):
    CSV = "csv", "CSV"
    NDJSON = "ndjson", "NDJSON"


UNFINISHED = (ExportStatus.PENDING, ExportStatus.RUNNING)
UNWANTED = (ExportStatus.FAILED, ExportStatus.CANCELED, ExportStatus.EXPIRED)


#: Longer than the lease of any version (payouts/exports/lifecycle.py).
LEASE_MAX: Final = timedelta(minutes=15)


def lease_ended() -> models.Q:
    """Select the exports whose lease has ended.

    One that ends later than any lease can has ended too: it was taken while the database's clock was ahead.
    """
    return models.Q(lease_expires_at__lte=Now()) | models.Q(lease_expires_at__gt=Now() + LEASE_MAX)


class ExportQuerySet(models.QuerySet["Export"]):
    def visible_to(self, api_key: Caller) -> Self:
        """The exports of the key's merchant and mode."""
        return self.filter(merchant_id=api_key.merchant_id, mode=api_key.mode)

    def jobs(self) -> Self:
        return self.filter(kind=ExportKind.JOB)

    def unfinished(self) -> Self:
        return self.filter(status__in=UNFINISHED)

    def held(self) -> Self:
        """Exports with a live lease, by the database's clock."""
        return self.filter(status=ExportStatus.RUNNING).exclude(lease_ended())

    def abandoned(self) -> Self:
        """Running exports whose lease has expired."""
        return self.filter(lease_ended(), status=ExportStatus.RUNNING)

    def held_by(self, lease_token: uuid.UUID) -> Self:
        """Exports that this token may change. An expired lease holds until another worker takes it."""
        return self.filter(status=ExportStatus.RUNNING, lease_token=lease_token)


class Export(models.Model):
    """Payouts of one moment as a file, and what they add up to.

    Only payouts/exports/lifecycle.py changes the status. Rows are kept: they record who took which payouts out of the
    platform, and when.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    mode = models.CharField(max_length=limits.MODE_LENGTH_MAX, choices=Mode)
    kind = models.CharField(max_length=6, choices=ExportKind)
    status = models.CharField(max_length=9, choices=ExportStatus, default=ExportStatus.PENDING)
    format = models.CharField(max_length=6, choices=ExportFormat)
    #: Whether a CSV begins with a byte order mark.
    bom = models.BooleanField(default=False, db_default=False)
    #: Filters in their JSON form (payouts/filters/filterset.py).
    filters = models.JSONField(default=dict)
    ordering = models.CharField(max_length=16)
    #: Requester, such as `merchant:<key prefix>`.
    actor = models.CharField(max_length=limits.ACTOR_LENGTH_MAX)
    #: Rows so far, without header and trailer.
    rows_count = models.PositiveBigIntegerField(default=0)
    #: For a completed export: the sum of each currency, the file's bytes and SHA-256.
    amounts = models.JSONField(default=dict)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    #: Bytes of all chunks so far.
    stored_bytes = models.PositiveBigIntegerField(default=0)
    #: Error as a sentence.
    error = models.CharField(max_length=limits.MESSAGE_LENGTH_MAX, blank=True)
    attempts_count = models.PositiveSmallIntegerField(default=0)
    #: Lease holder and expiry.
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    #: Last enqueued by the sweeper.
    rung_at = models.DateTimeField(null=True)
    #: Whether chunks may exist.
    is_stored = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    #: End of the download period.
    expires_at = models.DateTimeField(null=True)

    objects = ExportQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(mode__in=Mode.values), name="export_mode_known"),
            models.CheckConstraint(condition=models.Q(kind__in=ExportKind.values), name="export_kind_known"),
            models.CheckConstraint(condition=models.Q(status__in=ExportStatus.values), name="export_status_known"),
            models.CheckConstraint(condition=models.Q(format__in=ExportFormat.values), name="export_format_known"),
            models.CheckConstraint(
                condition=models.Q(
                    status=ExportStatus.RUNNING, lease_token__isnull=False, lease_expires_at__isnull=False
                )
                | (
                    ~models.Q(status=ExportStatus.RUNNING)
                    & models.Q(lease_token__isnull=True, lease_expires_at__isnull=True)
                ),
                name="export_leased_while_running",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=UNFINISHED, finished_at__isnull=True)
                | (~models.Q(status__in=UNFINISHED) & models.Q(finished_at__isnull=False)),
                name="export_finished_once_final",
            ),
        ]
        indexes: ClassVar = [
            # The list: a merchant's exports in one mode, newest first.
            models.Index("merchant", "mode", models.F("created_at").desc(), models.F("id").desc(), name="export_list"),
            # Unfinished exports: for the sweeper, for a worker that has ended one, and for their count.
            models.Index(
                fields=["created_at"],
                condition=models.Q(status__in=(ExportStatus.PENDING, ExportStatus.RUNNING)),
                name="export_unfinished",
            ),
            # Exports to expire.
            models.Index(
                fields=["expires_at"], condition=models.Q(status=ExportStatus.COMPLETED), name="export_expiring"
            ),
            # What a merchant keeps, and when its last export began.
            models.Index(fields=["merchant", "started_at"], condition=models.Q(is_stored=True), name="export_kept"),
            # Exports that cannot be downloaded and are still stored.
            models.Index(
                fields=["finished_at"],
                condition=models.Q(
                    is_stored=True,
                    status__in=(ExportStatus.FAILED, ExportStatus.CANCELED, ExportStatus.EXPIRED),
                ),
                name="export_to_erase",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.format} export ({self.id})"


class ExportChunk(models.Model):
    """A piece of a stored export: one member of the gzip file that all chunks form."""

    export = models.ForeignKey(Export, on_delete=models.PROTECT, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField()
    body = models.BinaryField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["export", "number"], name="export_chunk_number_unique"),
        ]

    def __str__(self) -> str:
        return f"chunk {self.number}"
