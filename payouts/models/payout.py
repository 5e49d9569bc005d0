from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar, Self

from django.core.validators import MinLengthValidator
from django.db import models
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from accounts.models import Merchant, MerchantAPIKey, Mode
from payouts import money, states
from payouts.models import indexes
from payouts.states import PayoutStatus


class PayoutQuerySet(models.QuerySet["Payout"]):
    def visible_to(self, api_key: MerchantAPIKey) -> Self:
        """The payouts of the key's merchant and mode."""
        return self.of_merchant(api_key.merchant_id, api_key.mode)

    def of_merchant(self, merchant_id: uuid.UUID, mode: str) -> Self:
        """The payouts of a merchant in a mode, but for those it has deleted. The one place that says who sees what."""
        return self.filter(merchant_id=merchant_id, mode=mode, deleted_at__isnull=True)

    def created_within(self, start: datetime | None, end: datetime | None) -> Self:
        """Payouts created at `start` or later and before `end`; None: without that limit."""
        after = models.Q() if start is None else models.Q(created_at__gte=start)
        before = models.Q() if end is None else models.Q(created_at__lt=end)
        return self.filter(after, before)

    def due(self) -> Self:
        """Payouts with which something should have happened by now, by the database's clock."""
        return self.filter(due_at__lte=Now())

    def for_operator(self) -> Self:
        """Payouts that a person has to look at. The condition of the index `payout_for_operator`, word for word."""
        return self.filter(models.Q(status=PayoutStatus.REQUIRES_ATTENTION) | models.Q(contradicted_at__isnull=False))


class Payout(models.Model):
    """What a merchant asked for. Its status is changed by payouts/transitions.py alone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="payouts", db_index=False)
    mode = models.CharField(max_length=4, choices=Mode)
    status = models.CharField(max_length=24, choices=PayoutStatus, default=PayoutStatus.PENDING)
    amount = models.DecimalField(max_digits=money.AMOUNT_DIGITS_MAX, decimal_places=money.AMOUNT_DECIMALS_MAX)
    currency = models.CharField(max_length=3, validators=[MinLengthValidator(3)])
    #: As the merchant sent it: a text or an object (payouts/recipient_details.py).
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
    #: Counts the references that the provider has been given for it. A second one takes an operator's retry of a
    #: payout that the provider has refused for good under the first.
    reference_number = models.PositiveSmallIntegerField(default=1, db_default=1)
    #: When the sweeper last rang for it.
    rung_at = models.DateTimeField(null=True)
    #: Since when it waits for another one to end, its provider having as many calls under way as it takes, or being in
    #: trouble. Whoever ends one rings for the oldest.
    turned_away_at = models.DateTimeField(null=True)
    #: Since when evidence contradicts the status. An operator clears it, having looked.
    contradicted_at = models.DateTimeField(null=True)
    #: Counts every change that the merchant is shown; ETags are made of it (rest/etags.py).
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    #: When it last entered a status of states.OVER, which it has; NULL before, and again once it is sent again.
    completed_at = models.DateTimeField(null=True)
    #: Taken off the merchant's list, and kept for audit.
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
        ]
        indexes: ClassVar = [*indexes.OF_LISTS, *indexes.OF_THE_ENGINE]

    def __str__(self) -> str:
        return f"{money.format_amount(self.amount, self.currency)} {self.currency} ({self.id})"

    @property
    def provider_key(self) -> str:
        """The reference under which the provider knows it: the same in each attempt, so that it is paid once."""
        return str(self.id) if self.reference_number == 1 else f"{self.id}-{self.reference_number}"


class AttemptKind(models.TextChoices):
    #: We told the provider to pay.
    SEND = "send", "Send"
    #: We asked it what became of the payout.
    ASK = "ask", "Ask"
    #: It told us by itself.
    CALLBACK = "callback", "Callback"
    #: A person decided.
    OPERATOR = "operator", "Operator"


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
    #: An operator had it sent again.
    RETRIED = "retried", "Retried"
    #: An operator had the provider asked again.
    ASKED = "asked", "Asked"
    #: An operator has looked at a contradiction.
    ACKNOWLEDGED = "acknowledged", "Acknowledged"


class AttemptQuerySet(models.QuerySet["PayoutAttempt"]):
    def maybe_sent(self) -> Self:
        """Sends that may have reached the provider."""
        return self.filter(kind=AttemptKind.SEND).exclude(outcome=AttemptOutcome.NOT_SENT)


class PayoutAttempt(models.Model):
    """One try at the provider, or one word from it or from an operator. Append-only: a trigger sees to it.

    A try is written before the call and completed after it; one without an outcome is under way, or its worker died.
    """

    payout = models.ForeignKey(Payout, on_delete=models.PROTECT, related_name="attempts", db_index=False)
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=8, choices=AttemptKind)
    #: Which of the payout's references it is about.
    reference_number = models.PositiveSmallIntegerField(default=1, db_default=1)
    #: Whose word it is where it is no worker's: `operator:<user name>`, `provider:<name>`.
    actor = models.CharField(max_length=200, blank=True, db_default="")
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=12, choices=AttemptOutcome, blank=True)
    code = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=500, blank=True)

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


class Pause(models.Model):
    """Nothing is sent while it lasts: for one merchant, through one provider, or (both empty) at all.

    Asking goes on, and so does what is under way.
    """

    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    provider = models.CharField(max_length=32, blank=True)
    reason = models.CharField(max_length=500)
    #: Who began it, such as `operator:<user name>`.
    actor = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(merchant__isnull=True) | models.Q(provider=""), name="pause_has_one_scope"
            ),
            models.UniqueConstraint(
                "merchant",
                "provider",
                condition=models.Q(ended_at__isnull=True),
                nulls_distinct=False,
                name="pause_once_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"pause of {self.scope}"

    @property
    def scope(self) -> str:
        """What is paused, in words."""
        if self.merchant_id is not None:
            return f"merchant {self.merchant_id}"
        return f"provider {self.provider}" if self.provider else "everything"


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


class Heartbeat(models.Model):
    """When a process that nobody calls was last seen at work."""

    #: Such as `sweeper:<host>:<pid>`.
    process = models.CharField(max_length=255, primary_key=True)
    beat_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes: ClassVar = [
            # The newest beat of all.
            models.Index(fields=["beat_at"], name="heartbeat_newest"),
        ]

    def __str__(self) -> str:
        return self.process
