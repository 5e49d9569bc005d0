from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from accounts.callers import Caller
from accounts.models import Merchant, Mode
from idempotency import keys

#: Longer than the path of any route that takes a key. Longer paths are cut off: only people read the column.
PATH_LENGTH_MAX = 255

#: The unique constraint on a key.
ONE_REQUEST_FOR_A_KEY = "idempotency_key_unique_per_merchant"


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    def visible_to(self, api_key: Caller) -> Self:
        """The records of the key's merchant and mode. The only place that decides visibility."""
        return self.filter(merchant_id=api_key.merchant_id, mode=api_key.mode)


class IdempotencyRecord(models.Model):
    """One Idempotency-Key of one merchant in one mode, with its request and answer.

    The record commits with the work of the request: a visible record is complete. The record is kept forever and the
    answer for a while (idempotency/retention.py). Triggers enforce this. The scope is merchant and mode, not the API
    key, so that a rotation loses nothing and merchants stay separate.
    """

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    mode = models.CharField(max_length=4, choices=Mode)
    key = models.CharField(max_length=keys.LENGTH_MAX)
    #: Fingerprint of the request, so that the key cannot be used for another one (idempotency/fingerprint.py).
    fingerprint = models.CharField(max_length=80)
    #: Method and path, for people to read. The fingerprint covers both.
    method = models.CharField(max_length=8, db_default="")
    path = models.CharField(max_length=PATH_LENGTH_MAX, db_default="")
    #: Resource that the request created or changed, such as `payout` and its id.
    resource_type = models.CharField(max_length=32, db_default="")
    resource_id = models.UUIDField(null=True)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.BinaryField(null=True)
    response_headers = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    #: Time when the answer was erased; NULL if it is kept.
    response_purged_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        verbose_name = "idempotency record"
        constraints: ClassVar = [
            # The guarantee: concurrent duplicates wait in this index for the first request to commit.
            models.UniqueConstraint(fields=["merchant", "mode", "key"], name=ONE_REQUEST_FOR_A_KEY),
            models.CheckConstraint(condition=models.Q(mode__in=Mode.values), name="idempotency_record_mode_known"),
            models.CheckConstraint(
                condition=models.Q(response_purged_at__isnull=True)
                | models.Q(resource_id__isnull=False, response_body__isnull=True),
                name="idempotency_purged_record_has_resource",
            ),
        ]
        indexes: ClassVar = [
            # The purge: the oldest kept answers. Completing a record changes none of these columns, so the index does
            # not slow that UPDATE.
            models.Index(
                fields=["created_at"],
                condition=models.Q(response_purged_at__isnull=True),
                name="idempotency_record_kept",
            ),
            # The admin: an operator has a key and does not know the merchant.
            models.Index(fields=["key"], name="idempotency_record_key"),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.mode})"
