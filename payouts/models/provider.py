"""Callbacks of providers, and the state of each provider."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

from django.db import models
from django.db.models.functions import Now

from accounts.models import Merchant, Mode
from payouts import limits
from payouts.models.payout import Payout


class CallbackResult(models.TextChoices):
    """Result of a callback."""

    #: It moved the payout.
    APPLIED = "applied", "Applied"
    #: No news, or overtaken.
    KNOWN = "known", "Known"
    #: Contradicts what we know; an operator has to look.
    CONTRADICTED = "contradicted", "Contradicted"
    #: Has a reference that we never gave this provider.
    NO_PAYOUT = "no_payout", "No such payout"
    #: Authentic, but we cannot read it.
    UNREADABLE = "unreadable", "Unreadable"


class CallbackQuerySet(models.QuerySet["ProviderCallback"]):
    def alarming(self) -> Self:
        """Callbacks that an operator has to look at."""
        return self.filter(alarmed_at__isnull=False)


class ProviderCallback(models.Model):
    """A callback as received: stored once, answered at once, and applied by a worker."""

    provider = models.CharField(max_length=limits.PROVIDER_LENGTH_MAX)
    #: The provider's id of the event, which may come any number of times.
    event_id = models.CharField(max_length=limits.EVENT_ID_LENGTH_MAX)
    body = models.BinaryField()
    received_at = models.DateTimeField(db_default=Now())
    #: Last try of the sweeper.
    tried_at = models.DateTimeField(null=True)
    #: NULL: not applied yet.
    applied_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=12, choices=CallbackResult, blank=True)
    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, null=True, related_name="callbacks", db_index=False)
    #: Start of the alarm; NULL: none, or cleared by an operator.
    alarmed_at = models.DateTimeField(null=True)
    #: End of the alarm, with the operator and the reason.
    cleared_at = models.DateTimeField(null=True)
    cleared_by = models.CharField(max_length=limits.ACTOR_LENGTH_MAX, blank=True, db_default="")
    cleared_reason = models.CharField(max_length=limits.MESSAGE_LENGTH_MAX, blank=True, db_default="")

    objects = CallbackQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "event_id"], name="provider_callback_stored_once"),
        ]
        indexes: ClassVar = [
            # Waiting callbacks, oldest first, for the sweeper.
            models.Index(fields=["id"], condition=models.Q(applied_at__isnull=True), name="provider_callback_waiting"),
            # The callbacks of one payout, in the admin.
            models.Index(
                fields=["payout", "id"], condition=models.Q(payout__isnull=False), name="provider_callback_of_payout"
            ),
            # Alarms that no operator has cleared, oldest first.
            models.Index(
                fields=["alarmed_at"], condition=models.Q(alarmed_at__isnull=False), name="provider_callback_alarming"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.event_id}"


class CircuitQuerySet(models.QuerySet[Any]):
    """Of ProviderCircuit and LaneCircuit."""

    def open_now(self) -> Self:
        """Circuits through which nothing is sent at the moment, by the database's clock."""
        return self.filter(_IS_OPEN)

    def with_state(self) -> Self:
        """Add `is_open`: whether the circuit is open at the moment."""
        return self.annotate(is_open=_IS_OPEN)


_IS_OPEN: Final = models.Q(retry_at__gt=Now())
_IS_WHOLE: Final = models.Q(opened_at__isnull=True, retry_at__isnull=True) | models.Q(
    opened_at__isnull=False, retry_at__isnull=False
)


class ProviderCircuit(models.Model):
    """Circuit of a provider. An open one stops sends until `retry_at`, and then one payout is a trial."""

    provider = models.CharField(max_length=limits.PROVIDER_LENGTH_MAX, primary_key=True)
    #: Failed sends in a row (repeats of one payout count once), and the payout and the merchant of the last.
    failures_count = models.PositiveIntegerField(default=0)
    failed_payout_id = models.UUIDField(null=True)
    failed_merchant_id = models.UUIDField(null=True)
    #: Merchant -> its number of these failures.
    failures_of_each = models.JSONField(default=dict, db_default={})
    opened_at = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)
    #: Failed trials since it opened.
    trials_count = models.PositiveIntegerField(default=0, db_default=0)
    #: Whether the failures of one merchant alone opened it. A payout of any other merchant is a trial at once.
    is_of_one_merchant = models.BooleanField(default=False, db_default=False)
    #: Limit of sends at once after it has closed. It grows with each answer; NULL: no limit any more.
    sends_max = models.PositiveIntegerField(null=True)

    objects = CircuitQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=_IS_WHOLE, name="provider_circuit_whole"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {'open' if self.opened_at else 'closed'}"


class LaneCircuit(models.Model):
    """Circuit of one merchant's lane at a provider, for failures that are not the provider's. A row: it has failed."""

    provider = models.CharField(max_length=limits.PROVIDER_LENGTH_MAX)
    mode = models.CharField(max_length=limits.MODE_LENGTH_MAX, choices=Mode)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    #: Failed sends in a row (repeats of one payout count once), and the payout of the last.
    failures_count = models.PositiveIntegerField(default=0)
    failed_payout_id = models.UUIDField(null=True)
    opened_at = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)

    objects = CircuitQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "mode", "merchant"], name="lane_circuit_once"),
            models.CheckConstraint(condition=_IS_WHOLE, name="lane_circuit_whole"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}, {self.merchant_id}: {'open' if self.opened_at else 'closed'}"
