"""The payout, and who may see it."""

from __future__ import annotations

import uuid
from typing import ClassVar, Self

from django.core.validators import MinLengthValidator
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from accounts.callers import Caller
from accounts.models import Merchant, Mode
from idempotency import keys
from payouts import limits, money, states
from payouts.models import indexes, references
from payouts.states import PayoutStatus


class PayoutQuerySet(models.QuerySet["Payout"]):
    def visible_to(self, api_key: Caller) -> Self:
        """The payouts of the key's merchant and mode."""
        return self.of_merchant(api_key.merchant_id, api_key.mode)

    def of_merchant(self, merchant_id: uuid.UUID, mode: str) -> Self:
        """The payouts of a merchant in a mode, except deleted ones. The only rule for who sees what."""
        return self.filter(merchant_id=merchant_id, mode=mode, deleted_at__isnull=True)

    def due(self) -> Self:
        """Payouts whose next step is due, by the database's clock."""
        return self.filter(due_at__lte=Now())

    def with_reference(self, own_reference: uuid.UUID) -> Self:
        """The payout that providers know by this reference, with or without a number."""
        return self.filter(
            models.Q(own_reference=own_reference) | models.Q(own_reference__isnull=True, pk=own_reference)
        )

    def for_operator(self) -> Self:
        """Payouts that a person has to look at. The condition of the index `payout_for_operator`, word for word."""
        return self.filter(models.Q(status=PayoutStatus.REQUIRES_ATTENTION) | models.Q(contradicted_at__isnull=False))


class Payout(models.Model):
    """A payout of a merchant. Only payouts/transitions.py changes the status."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="payouts", db_index=False)
    mode = models.CharField(max_length=limits.MODE_LENGTH_MAX, choices=Mode)
    status = models.CharField(max_length=limits.STATUS_LENGTH_MAX, choices=PayoutStatus, default=PayoutStatus.PENDING)
    amount = models.DecimalField(max_digits=money.AMOUNT_DIGITS_MAX, decimal_places=money.AMOUNT_DECIMALS_MAX)
    currency = models.CharField(
        max_length=limits.CURRENCY_LENGTH, validators=[MinLengthValidator(limits.CURRENCY_LENGTH)]
    )
    #: As the merchant sent it: a text or an object (payouts/recipient_details.py).
    recipient_details = models.JSONField()
    comment = models.CharField(max_length=limits.COMMENT_LENGTH_MAX, blank=True)
    #: The merchant's own id.
    reference = models.CharField(max_length=limits.REFERENCE_LENGTH_MAX, blank=True)
    metadata = models.JSONField(default=dict)
    #: The request's key. Unique here and in the idempotency record, so that two guards must fail.
    idempotency_key = models.CharField(max_length=keys.LENGTH_MAX, null=True)  # noqa: DJ001 - NULL keeps payouts without a key apart
    provider = models.CharField(max_length=limits.PROVIDER_LENGTH_MAX)
    #: Our reference at the provider: derived from the key, so that the same request finds the same payment even if the
    #: database lost the payout (payouts/models/references.py). NULL: the id, as in the version before.
    own_reference = models.UUIDField(null=True)
    #: The provider's own id.
    provider_reference = models.CharField(max_length=limits.REFERENCE_LENGTH_MAX, blank=True)
    failure_code = models.CharField(max_length=limits.CODE_LENGTH_MAX, blank=True)
    failure_message = models.CharField(max_length=limits.MESSAGE_LENGTH_MAX, blank=True)
    attempts_count = models.PositiveIntegerField(default=0)
    #: Time of the next step; NULL: no step is left.
    due_at = models.DateTimeField(null=True, db_default=Now())
    #: Time until which the merchant wants it sent; NULL: none.
    expires_at = models.DateTimeField(null=True)
    #: Time at which the sweeper looks whether a pending payout is too late to send (engine/deadlines.py). A row of the
    #: version before has its creation, and gets its real time at the first look.
    give_up_at = models.DateTimeField(db_default=Now())
    #: Lease holder and expiry (NULL: no lease). A worker records an outcome only under its own lease.
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    #: Start of the first attempt that may have reached the provider, and of its idempotency window.
    first_sent_at = models.DateTimeField(null=True)
    #: Number of the current reference at the provider. A second one needs an operator's retry, after the provider has
    #: refused the first for good.
    reference_number = models.PositiveSmallIntegerField(default=1, db_default=1)
    #: Start of a contradiction between evidence and status. An operator clears it.
    contradicted_at = models.DateTimeField(null=True)
    #: Number of changes that the merchant can see; ETags are made of it (rest/etags.py).
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    #: Time of entering its present status of states.OVER; NULL in all other statuses.
    completed_at = models.DateTimeField(null=True)
    #: Time of deletion by the merchant; kept for audit.
    deleted_at = models.DateTimeField(null=True)

    objects = PayoutQuerySet.as_manager()

    class Meta:
        permissions: ClassVar = [
            ("operate_payout", "Can retry, resolve and ask about payouts, and pause and resume the sending")
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="payout_amount_positive"),
            models.CheckConstraint(condition=models.Q(currency__regex=r"^[A-Z]{3}$"), name="payout_currency_is_code"),
            models.CheckConstraint(condition=models.Q(status__in=PayoutStatus.values), name="payout_status_known"),
            models.CheckConstraint(condition=models.Q(mode__in=Mode.values), name="payout_mode_known"),
            models.CheckConstraint(
                condition=models.Func(
                    "recipient_details",
                    function="jsonb_typeof",
                    output_field=models.BooleanField(),
                    template="%(function)s(%(expressions)s) IN ('string', 'object')",
                ),
                name="payout_recipient_text_or_object",
            ),
            models.CheckConstraint(
                condition=models.Q(lease_token__isnull=True, lease_expires_at__isnull=True)
                | models.Q(lease_token__isnull=False, lease_expires_at__isnull=False),
                name="payout_lease_whole",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=sorted(states.OVER), completed_at__isnull=False)
                | ~models.Q(status__in=sorted(states.OVER)) & models.Q(completed_at__isnull=True),
                name="payout_completed_while_over",
            ),
            models.UniqueConstraint(
                fields=["merchant", "mode", "idempotency_key"],
                condition=models.Q(idempotency_key__isnull=False),
                name="payout_idempotency_key_unique_per_merchant",
            ),
            models.UniqueConstraint(
                fields=["own_reference"],
                condition=models.Q(own_reference__isnull=False),
                name="payout_own_reference_unique",
            ),
        ]
        indexes: ClassVar = [*indexes.OF_LISTS, *indexes.OF_THE_ENGINE]

    def __str__(self) -> str:
        return f"{money.format_amount(self.amount, self.currency)} {self.currency} ({self.id})"

    @classmethod
    def columns(cls, *, of: str) -> str:
        """Return the columns for a SQL statement that returns whole payouts, of this table or its alias."""
        return ", ".join(f"{of}.{field.column}" for field in cls._meta.concrete_fields)

    @property
    def provider_key(self) -> str:
        """The reference at the provider: the same in each attempt, so that it pays once."""
        return references.spell(self.own_reference or self.id, self.reference_number)
