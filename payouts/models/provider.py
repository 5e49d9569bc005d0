"""Callbacks of providers, and the state of each provider."""

from __future__ import annotations

from typing import ClassVar, Final, Self

from django.db import models
from django.db.models.functions import Now

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


class CircuitQuerySet(models.QuerySet["ProviderCircuit"]):
    def open_now(self) -> Self:
        """Circuits whose providers get no sends at the moment, by the database's clock."""
        return self.filter(_IS_OPEN)

    def with_state(self) -> Self:
        """Add `is_open`: whether the circuit is open at the moment."""
        return self.annotate(is_open=_IS_OPEN)


_IS_OPEN: Final = models.Q(retry_at__gt=Now())


class ProviderCircuit(models.Model):
    """Circuit of a provider. An open one stops sends until `retry_at`, and then one payout is a trial."""

    provider = models.CharField(max_length=limits.PROVIDER_LENGTH_MAX, primary_key=True)
    #: Failed sends in a row (repeats of one payout count once), and the payout of the last.
    failures_count = models.PositiveIntegerField(default=0)
    failed_payout_id = models.UUIDField(null=True)
    opened_at = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)

    objects = CircuitQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(opened_at__isnull=True, retry_at__isnull=True)
                | models.Q(opened_at__isnull=False, retry_at__isnull=False),
                name="provider_circuit_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {'open' if self.opened_at else 'closed'}"
