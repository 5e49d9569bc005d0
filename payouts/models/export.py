"""The exports that were asked for, and what is kept of those that are made in the background."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from accounts.models import Merchant, MerchantAPIKey, Mode


class ExportStatus(models.TextChoices):
    """How far an export is. The last four are final, but that a completed one expires."""

    #: A worker has yet to come for it.
    PENDING = "pending", "Pending"
    #: It is being made, by whoever holds its lease.
    RUNNING = "running", "Running"
    #: All of it was made: handed out, or kept to be downloaded.
    COMPLETED = "completed", "Completed"
    #: It could not be made, or its process ended before it was.
    FAILED = "failed", "Failed"
    #: Somebody called it off, or the client of a streamed one went away.
    CANCELED = "canceled", "Canceled"
    #: It was completed, and is no longer kept.
    EXPIRED = "expired", "Expired"


class ExportKind(models.TextChoices):
    #: Made while it is sent.
    STREAM = "stream", "Stream"
    #: Made by a worker, and kept for a while.
    JOB = "job", "Job"


class ExportFormat(models.TextChoices):
    CSV = "csv", "CSV"
    NDJSON = "ndjson", "NDJSON"


UNFINISHED = (ExportStatus.PENDING, ExportStatus.RUNNING)
UNWANTED = (ExportStatus.FAILED, ExportStatus.CANCELED, ExportStatus.EXPIRED)


class ExportQuerySet(models.QuerySet["Export"]):
    def visible_to(self, api_key: MerchantAPIKey) -> Self:
        """The exports of the key's merchant and mode."""
        return self.filter(merchant_id=api_key.merchant_id, mode=api_key.mode)

    def jobs(self) -> Self:
        return self.filter(kind=ExportKind.JOB)

    def unfinished(self) -> Self:
        return self.filter(status__in=UNFINISHED)

    def held(self) -> Self:
        """Those that somebody is making, by the database's clock."""
        return self.filter(status=ExportStatus.RUNNING, lease_expires_at__gt=Now())

    def abandoned(self) -> Self:
        """Those that somebody began to make and has given up, or died over."""
        return self.filter(status=ExportStatus.RUNNING, lease_expires_at__lte=Now())

    def held_by(self, lease_token: uuid.UUID) -> Self:
        """Those that may be changed by who has this token. A lease that has run out holds until somebody takes it."""
        return self.filter(status=ExportStatus.RUNNING, lease_token=lease_token)


class Export(models.Model):
    """Payouts of one moment as a file, and what they add up to.

    Its status is changed by payouts/exports/lifecycle.py alone. Rows are kept: they tell who took which payouts out of
    the platform, and when.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    mode = models.CharField(max_length=4, choices=Mode)
    kind = models.CharField(max_length=6, choices=ExportKind)
    status = models.CharField(max_length=9, choices=ExportStatus, default=ExportStatus.PENDING)
    format = models.CharField(max_length=6, choices=ExportFormat)
    #: Whether a CSV begins with a byte order mark.
    bom = models.BooleanField(default=False, db_default=False)
    #: As the API takes and shows them (payouts/exports/filters.py).
    filters = models.JSONField(default=dict)
    ordering = models.CharField(max_length=16)
    #: Who asked for it, such as `merchant:<key prefix>`.
    actor = models.CharField(max_length=200)
    #: Rows so far, without head and trailer.
    rows_count = models.PositiveBigIntegerField(default=0)
    #: Of a completed one: the sum of each currency, the bytes of the file and their SHA-256.
    amounts = models.JSONField(default=dict)
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    #: What its chunks have together.
    stored_bytes = models.PositiveBigIntegerField(default=0)
    #: What went wrong, in a sentence.
    error = models.CharField(max_length=500, blank=True)
    attempts_count = models.PositiveSmallIntegerField(default=0)
    #: Who is making it, and until when it need not tell that it still is.
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    #: When the sweeper last rang for it.
    rung_at = models.DateTimeField(null=True)
    #: Whether there may be chunks of it.
    is_stored = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    #: Until when it can be downloaded.
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
            # What is to be made or is being made: the sweeper, the worker that has ended one, and how many there are.
            models.Index(
                fields=["created_at"],
                condition=models.Q(status__in=(ExportStatus.PENDING, ExportStatus.RUNNING)),
                name="export_unfinished",
            ),
            # What is to expire.
            models.Index(
                fields=["expires_at"], condition=models.Q(status=ExportStatus.COMPLETED), name="export_expiring"
            ),
            # What nobody can have any more and is still stored.
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
    """A piece of an export that is kept: a member of a gzip file, which all of them are together."""

    export = models.ForeignKey(Export, on_delete=models.PROTECT, related_name="chunks", db_index=False)
    number = models.PositiveIntegerField()
    body = models.BinaryField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["export", "number"], name="export_chunk_number_unique"),
        ]

    def __str__(self) -> str:
        return f"chunk {self.number}"
