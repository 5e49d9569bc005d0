from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from accounts.models import Merchant, MerchantAPIKey, Mode
from idempotency import keys

#: Longer than the path of any route that takes a key; what is beyond would be cut off, for only people read it.
PATH_LENGTH_MAX = 255

#: The constraint that lets one request have a key.
ONE_REQUEST_FOR_A_KEY = "idempotency_key_unique_per_merchant"


class IdempotencyRecordQuerySet(models.QuerySet["IdempotencyRecord"]):
    def visible_to(self, api_key: MerchantAPIKey) -> Self:
        """The records of the key's merchant and mode. The one place that says who sees what."""
        return self.filter(merchant_id=api_key.merchant_id, mode=api_key.mode)


class IdempotencyRecord(models.Model):
    """One Idempotency-Key of one merchant in one mode, what was asked for with it, and what was answered.

    It commits with what the request did, or not at all: a record that anybody can see is complete. It is kept for ever
    and its answer for a while (idempotency/retention.py). Triggers see to all of that. The scope is merchant and mode,
    never the API key, so that a rotation loses nothing and two merchants never meet.
    """

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    mode = models.CharField(max_length=4, choices=Mode)
    key = models.CharField(max_length=keys.LENGTH_MAX)
    #: What tells the request from others, so that the key cannot be used for another one (idempotency/fingerprint.py).
    fingerprint = models.CharField(max_length=80)
    #: The request, for people: the fingerprint has both.
    method = models.CharField(max_length=8, db_default="")
    path = models.CharField(max_length=PATH_LENGTH_MAX, db_default="")
    #: What the request created or changed, such as `payout` and its id.
    resource_type = models.CharField(max_length=32, db_default="")
    resource_id = models.UUIDField(null=True)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_body = models.BinaryField(null=True)
    response_headers = models.JSONField(default=dict, db_default=models.Value({}, models.JSONField()))
    #: When the answer was erased; NULL: it is kept.
    response_purged_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = IdempotencyRecordQuerySet.as_manager()

    class Meta:
        verbose_name = "idempotency record"
        constraints: ClassVar = [
            # The promise itself: concurrent duplicates wait on this index for the first one to commit.
            models.UniqueConstraint(fields=["merchant", "mode", "key"], name=ONE_REQUEST_FOR_A_KEY),
            models.CheckConstraint(condition=models.Q(mode__in=Mode.values), name="idempotency_record_mode_known"),
            models.CheckConstraint(
                condition=models.Q(response_purged_at__isnull=True)
                | models.Q(resource_id__isnull=False, response_body__isnull=True),
                name="idempotency_purged_record_has_resource",
            ),
        ]
        indexes: ClassVar = [
            # The purge: the oldest answers that are kept. What it asks for is never changed by completing a record, so
            # that this index costs that UPDATE nothing.
            models.Index(
                fields=["created_at"],
                condition=models.Q(response_purged_at__isnull=True),
                name="idempotency_record_kept",
            ),
            # The admin: an operator has a key, and does not know whose it is.
            models.Index(fields=["key"], name="idempotency_record_key"),
        ]

    def __str__(self) -> str:
        return f"{self.key} ({self.mode})"
