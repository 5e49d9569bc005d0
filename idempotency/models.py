from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models import Merchant, Mode

KEY_LENGTH_MAX = 255


class IdempotencyRecord(models.Model):
    """One Idempotency-Key of one merchant in one mode, and what was answered.

    It commits with what the request created, or not at all: a record that anybody can see is complete. The scope is
    merchant and mode, never the API key, so that a rotation loses nothing and two merchants never meet.
    """

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+")
    mode = models.CharField(max_length=4, choices=Mode)
    key = models.CharField(max_length=KEY_LENGTH_MAX)
    #: Version and SHA-256 of the request, so that the key cannot be used for another one (idempotency/fingerprint.py).
    fingerprint = models.CharField(max_length=80)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.BinaryField(null=True)
    response_headers = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "idempotency record"
        constraints: ClassVar = [
            # The promise itself: concurrent duplicates wait on this index for the first one to commit.
            models.UniqueConstraint(fields=["merchant", "mode", "key"], name="idempotency_key_unique_per_merchant"),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.mode})"
