"""What providers have reported, and how each is doing."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from payouts.models.payout import Payout


class CallbackResult(models.TextChoices):
    """What became of a callback."""

    #: It moved the payout.
    APPLIED = "applied", "Applied"
    #: It told nothing new, or something that has been overtaken.
    KNOWN = "known", "Known"
    #: It contradicts what we know; an operator has to look.
    CONTRADICTED = "contradicted", "Contradicted"
    #: It is about a reference that we never gave this provider.
    NO_PAYOUT = "no_payout", "No such payout"
    #: It is authentic, and we do not understand it.
    UNREADABLE = "unreadable", "Unreadable"


class ProviderCallback(models.Model):
    """What a provider told us by itself, as it came: stored once, answered at once, and applied by a worker."""

    provider = models.CharField(max_length=32)
    #: The provider's own id of the event; it may tell it any number of times.
    event_id = models.CharField(max_length=255)
    body = models.BinaryField()
    received_at = models.DateTimeField(db_default=Now())
    #: When the sweeper last tried to apply it.
    tried_at = models.DateTimeField(null=True)
    #: NULL: nobody has got to it yet.
    applied_at = models.DateTimeField(null=True)
    result = models.CharField(max_length=12, choices=CallbackResult, blank=True)
    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, null=True, related_name="callbacks", db_index=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "event_id"], name="provider_callback_stored_once"),
        ]
        indexes: ClassVar = [
            # The sweeper: what nobody has applied yet, oldest first.
            models.Index(fields=["id"], condition=models.Q(applied_at__isnull=True), name="provider_callback_waiting"),
            # The callbacks of one payout, in the admin.
            models.Index(
                fields=["payout", "id"], condition=models.Q(payout__isnull=False), name="provider_callback_of_payout"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}: {self.event_id}"


class ProviderCircuit(models.Model):
    """How a provider has been doing. Opened, it is left alone until `retry_at`, and then tried with one payout."""

    provider = models.CharField(max_length=32, primary_key=True)
    #: Sends in a row that did not get through, those of one payout counted once, and the payout of the last.
    failures_count = models.PositiveIntegerField(default=0)
    failed_payout_id = models.UUIDField(null=True)
    opened_at = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)

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
