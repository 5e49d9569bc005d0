from __future__ import annotations

from typing import ClassVar, Self

from django.core.validators import MinLengthValidator
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from accounts.models import Merchant, MerchantAPIKey, Mode
from payouts import money
from payouts.states import PayoutStatus


class PayoutQuerySet(models.QuerySet["Payout"]):
    def visible_to(self, api_key: MerchantAPIKey) -> Self:
        """The payouts of the key's merchant and mode. The one place that says who sees what."""
        return self.filter(merchant_id=api_key.merchant_id, mode=api_key.mode, deleted_at__isnull=True)

    def due(self) -> Self:
        """Payouts with which something should have happened by now, by the database's clock."""
        return self.filter(due_at__lte=Now())


class Payout(models.Model):
    """What a merchant asked for. Its status is changed by payouts/transitions.py alone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="payouts", db_index=False)
    mode = models.CharField(max_length=4, choices=Mode)
    status = models.CharField(max_length=24, choices=PayoutStatus, default=PayoutStatus.PENDING)
    amount = models.DecimalField(max_digits=money.AMOUNT_DIGITS_MAX, decimal_places=money.AMOUNT_DECIMALS_MAX)
    currency = models.CharField(max_length=3, validators=[MinLengthValidator(3)])
    recipient_details = models.JSONField()
    comment = models.CharField(max_length=500, blank=True)
    #: The merchant's own id for it.
    reference = models.CharField(max_length=255, blank=True)
    metadata = models.JSONField(default=dict)
    #: The key that it was asked for with; unique beside the idempotency record, so that two guards must fail.
    idempotency_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - NULL keeps payouts without a key apart
    provider = models.CharField(max_length=32)
    #: The provider's own id for it.
    provider_reference = models.CharField(max_length=255, blank=True)
    failure_code = models.CharField(max_length=64, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    attempts_count = models.PositiveIntegerField(default=0)
    #: When the platform should next do something about it; NULL: nothing is left to do.
    due_at = models.DateTimeField(null=True, db_default=Now())
    #: Who holds it, and until when (NULL: nobody). A worker may only settle what it still holds.
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    #: The first attempt that may have reached the provider: its idempotency window runs from here.
    first_sent_at = models.DateTimeField(null=True)
    #: Counts every change; it is the ETag.
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    #: Taken off the merchant's list, and kept for audit.
    deleted_at = models.DateTimeField(null=True)

    objects = PayoutQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payout_amount_positive"),
            models.CheckConstraint(condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="payout_currency_is_code"),
            models.CheckConstraint(condition=models.Q(status__in=PayoutStatus.values), name="payout_status_known"),
            models.CheckConstraint(condition=models.Q(mode__in=Mode.values), name="payout_mode_known"),
            models.CheckConstraint(
                condition=models.Q(lease_token__isnull=True, lease_expires_at__isnull=True)
                | models.Q(lease_token__isnull=False, lease_expires_at__isnull=False),
                name="payout_lease_whole",
            ),
            models.UniqueConstraint(
                fields=["merchant", "mode", "idempotency_key"],
                condition=models.Q(idempotency_key__isnull=False),
                name="payout_idempotency_key_unique_per_merchant",
            ),
        ]
        indexes: ClassVar = [
            # The list: a merchant's payouts in one mode, newest first, and any later page of it.
            models.Index(
                "merchant",
                "mode",
                models.F("created_at").desc(),
                models.F("id").desc(),
                condition=models.Q(deleted_at__isnull=True),
                name="payout_list",
            ),
            # The sweeper: what is due. Small, for a payout that is final is not in it.
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="payout_due"),
        ]

    def __str__(self) -> str:
        return f"{money.format_amount(self.amount, self.currency)} {self.currency} ({self.id})"

    @property
    def etag(self) -> str:
        return f'"{self.version}"'


class AttemptKind(models.TextChoices):
    SEND = "send", "Send"
    ASK = "ask", "Ask"


class AttemptOutcome(models.TextChoices):
    """What one try at the provider showed."""

    PAID = "paid", "Paid"
    ACCEPTED = "accepted", "Accepted"
    REJECTED = "rejected", "Rejected"
    RETURNED = "returned", "Returned"
    NOT_FOUND = "not_found", "Not found"
    #: The request cannot have reached the provider.
    NOT_SENT = "not_sent", "Not sent"
    UNKNOWN = "unknown", "Unknown"


class PayoutAttempt(models.Model):
    """One try at the provider. Written before the call, completed after it; without an outcome its worker died."""

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=8, choices=AttemptKind)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=AttemptOutcome, blank=True)
    code = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payout", "number"], name="payout_attempt_number_unique"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} ({self.kind})"


class PayoutTransition(models.Model):
    """One change of status. Append-only: a trigger refuses to change or delete it."""

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="transitions", db_index=False)
    #: Empty for the first, which created the payout.
    from_status = models.CharField(max_length=24, blank=True)
    to_status = models.CharField(max_length=24, choices=PayoutStatus)
    #: Who did it: `merchant:<key prefix>`, `worker`, `operator:<user name>`.
    actor = models.CharField(max_length=200)
    reason = models.CharField(max_length=500)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [
            # The history of one payout, in order.
            models.Index(fields=["payout", "id"], name="payout_transition_history"),
        ]

    def __str__(self) -> str:
        return f"{self.from_status or 'new'} -> {self.to_status}"
