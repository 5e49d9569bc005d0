"""What was done about a payout: its attempts and its changes of status."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Now

from payouts import limits
from payouts.models.payout import Payout
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus


class AttemptQuerySet(models.QuerySet["PayoutAttempt"]):
    def maybe_sent(self) -> Self:
        """Sends that may have reached the provider."""
        return self.filter(kind=AttemptKind.SEND).exclude(outcome=AttemptOutcome.NOT_SENT)


class PayoutAttempt(models.Model):
    """One attempt at the provider, or one report from it or act of an operator. Append-only: a trigger enforces it.

    An attempt is written before the call and completed after it. Without an outcome it is under way or its worker died.
    """

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=8, choices=AttemptKind)
    #: Number of the payout's reference.
    reference_number = models.PositiveSmallIntegerField(default=1, db_default=1)
    #: Identity of the bank that is called (Provider.identity). Empty: not recorded by the version before, or no call.
    bank = models.CharField(max_length=limits.BANK_LENGTH_MAX, blank=True, db_default="")
    #: Lease under which the provider is called. It tells the attempt from another one that got the same id after a
    #: failover.
    lease_token = models.UUIDField(null=True)
    #: Source, if it is no worker: `operator:<user name>`, `provider:<name>`.
    actor = models.CharField(max_length=limits.ACTOR_LENGTH_MAX, blank=True, db_default="")
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=AttemptOutcome, blank=True)
    code = models.CharField(max_length=limits.CODE_LENGTH_MAX, blank=True)
    message = models.CharField(max_length=limits.MESSAGE_LENGTH_MAX, blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payout", "number"], name="payout_attempt_number_unique"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} ({self.kind})"


class PayoutTransition(models.Model):
    """One change of status. Append-only: a trigger refuses to change or delete it."""

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="transitions", db_index=False)
    #: Empty for the first row, which records the creation.
    from_status = models.CharField(max_length=limits.STATUS_LENGTH_MAX, blank=True)
    to_status = models.CharField(max_length=limits.STATUS_LENGTH_MAX, choices=PayoutStatus)
    #: Actor: `merchant:<key prefix>`, `worker`, `operator:<user name>`.
    actor = models.CharField(max_length=limits.ACTOR_LENGTH_MAX)
    reason = models.CharField(max_length=limits.MESSAGE_LENGTH_MAX)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [
            # The history of one payout, in order.
            models.Index(fields=["payout", "id"], name="payout_transition_history"),
        ]

    def __str__(self) -> str:
        return f"{self.from_status or 'new'} -> {self.to_status}"
