"""Requests of merchants for their payouts, and callbacks of providers. Each function is one transaction, and calls
nothing outside the database.

The caller has found the payout through `visible_to`, so ownership is not checked again: merchant and mode of a payout
never change (a trigger refuses it).
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, connection, models, transaction
from django.db.models.functions import Now

from accounts.callers import Caller
from accounts.models import Mode
from payouts import dispatch, errors, money, states, transitions
from payouts.engine import claims, deadlines, inbox, recipient_needs
from payouts.models import Payout, PayoutAttempt, insertion, references
from payouts.states import PayoutStatus
from postgres.errors import violates
from rest import texts

#: Fields that may change only before a send.
PENDING_ONLY_FIELDS: Final = ("amount", "currency", "recipient_details", "reference", "expires_at")
#: The merchant's own notes, which no provider sees.
FREE_FIELDS: Final = ("comment", "metadata")


def create_payout(*, api_key: Caller, idempotency_key: str | None, **fields: Any) -> Payout:
    """Create a pending payout with its first row of history, and enqueue it after the commit.

    No record of the key is written. Raises PayoutExists if a payout has the key, and what `prepare_payout` raises.
    """
    with transaction.atomic(savepoint=False), connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        new = prepare_payout(api_key=api_key, idempotency_key=idempotency_key, now=cursor.fetchone()[0], **fields)
        with refusing_second_payout():
            cursor.execute(f"WITH claimed AS (SELECT), {new.ctes} SELECT", new.parameters)
        new.written()
    return new.payout


def prepare_payout(*, api_key: Caller, idempotency_key: str | None, now: datetime, **fields: Any) -> NewPayout:
    """Return a pending payout that is about to be created. `now` is the database's time.

    Raises LiveProviderMissing for a live payout if no provider is configured: nothing could ever pay it out. Raises
    RecipientNotStructured if the provider cannot pay this recipient.
    """
    provider_name = _provider_name(api_key.mode)
    recipient_needs.refuse_unusable(provider_name, fields["recipient_details"])
    times = {"due_at": now, "give_up_at": deadlines.first_of_new(fields.get("expires_at"), now=now)}
    payout = Payout(
        merchant_id=api_key.merchant_id,
        mode=api_key.mode,
        provider=provider_name,
        idempotency_key=idempotency_key,
        **{**times, "created_at": now, "updated_at": now, **fields},
    )
    payout.own_reference = _own_reference(payout)
    return NewPayout(payout, actor_of(api_key))


@dataclass(frozen=True)
class NewPayout:
    """A payout that is about to be created, with its first row of history."""

    payout: Payout
    actor: str

    @property
    def ctes(self) -> str:
        """The inserts, as CTEs of a statement that has a CTE `claimed`: its rows are how often to insert."""
        return f"{insertion.PAYOUT}, {transitions.CREATION}"

    @property
    def parameters(self) -> dict[str, Any]:
        return {**insertion.parameters_of(self.payout), **transitions.parameters_of_creation(self.payout, self.actor)}

    def written(self) -> None:
        """Log the creation and enqueue the payout after the commit."""
        transitions.log_creation(self.payout)
        # `robust` is not enough: an exception would turn the answer for a committed payout into a 500.
        transaction.on_commit(lambda: dispatch.enqueue_payout(self.payout.id), robust=True)


@contextmanager
def refusing_second_payout() -> Iterator[None]:
    """Raise PayoutExists if the inserts fail because a payout has the key.

    This is the second guard. The idempotency record is the first, so it happens only if records were lost. The key's
    reference is unique as well, and the database may check either first.
    """
    try:
        yield
    except IntegrityError as error:
        if violates(error, "payout_idempotency_key_unique_per_merchant", "payout_own_reference_unique"):
            raise errors.PayoutExists from error
        raise


def _own_reference(payout: Payout) -> uuid.UUID:
    """Return the reference at the provider. Without a key nothing connects two requests, so the random id serves."""
    if payout.idempotency_key is None:
        return payout.pk
    return references.derive(payout.merchant_id, payout.mode, payout.idempotency_key)


def _provider_name(mode: str) -> str:
    if mode == Mode.TEST:
        return "sandbox"
    if not settings.LIVE_PROVIDER:
        raise errors.LiveProviderMissing
    return str(settings.LIVE_PROVIDER)


def actor_of(api_key: Caller) -> str:
    """Return the merchant's name in the history: the prefix of the API key, never its secret."""
    return f"merchant:{api_key.prefix}"


def update_payout(payout: Payout, *, expected_versions: Collection[int] | None = None, **fields: Any) -> Payout:
    """Change the payout and return it. A field that keeps its value is no change.

    Raises PayoutChanged if the payout has none of the expected versions (None: any), PayoutNotChangeable for amount,
    currency, recipient or reference if the payout is not pending, RecipientNotStructured if the provider cannot pay the
    new recipient, and AmountDoesNotFit if the amount has more decimals than the currency.
    """
    with transaction.atomic(savepoint=False):
        current = _lock(payout, expected_versions)
        changes = {name: value for name, value in fields.items() if not texts.is_same(getattr(current, name), value)}
        if not changes:
            return current
        may_change = current.status == PayoutStatus.PENDING and not _may_have_been_paid(current)
        if set(changes) & set(PENDING_ONLY_FIELDS) and not may_change:
            raise errors.of_payout(errors.PayoutNotChangeable, current)
        if "recipient_details" in changes:
            recipient_needs.refuse_unusable(current.provider, changes["recipient_details"])
        # Checked again under the lock: two valid requests may change amount and currency at the same time.
        amount = changes.get("amount", current.amount.normalize())
        if not money.fits(amount, changes.get("currency", current.currency)):
            raise errors.AmountDoesNotFit(field="amount")
        if "expires_at" in changes:
            # The sweeper looks at it in its next round, and finds its new time.
            changes["give_up_at"] = Now()
        Payout.objects.filter(pk=current.pk).update(version=models.F("version") + 1, updated_at=Now(), **changes)
        return Payout.objects.get(pk=current.pk)


def cancel_payout(payout: Payout, *, actor: str, expected_versions: Collection[int] | None = None) -> Payout:
    """Cancel a pending payout and return it. A canceled payout is returned unchanged.

    Raises PayoutChanged like update_payout, and PayoutNotCancelable in every other status, and if an operator retried
    a payout that may have been sent before. Between a cancel and a worker the first to commit wins.
    """
    if expected_versions is not None:
        with transaction.atomic(savepoint=False):
            # The lock holds until the status is written.
            return cancel_payout(_lock(payout, expected_versions), actor=actor)
    sends = PayoutAttempt.objects.filter(
        payout=models.OuterRef("pk"), reference_number=models.OuterRef("reference_number")
    )
    canceled = transitions.move(
        payout.pk,
        source=PayoutStatus.PENDING,
        target=PayoutStatus.CANCELED,
        actor=actor,
        reason="canceled by the merchant",
        only_if=models.Q(contradicted_at__isnull=True) & ~models.Q(models.Exists(sends.maybe_sent())),
        due_at=None,
    )
    if canceled is not None:
        return canceled
    current = Payout.objects.get(pk=payout.pk)
    if current.status != PayoutStatus.CANCELED:
        raise errors.of_payout(errors.PayoutNotCancelable, current)
    return current


def delete_payout(payout: Payout, *, actor: str, expected_versions: Collection[int] | None = None) -> None:
    """Delete the payout from the merchant's list, after canceling it if it is pending. The row is kept for audit.

    Raises PayoutChanged like update_payout, and PayoutNotDeletable if money may move or has moved.
    """
    with transaction.atomic(savepoint=False):
        current = _lock(payout, expected_versions)
        if current.status == PayoutStatus.PENDING:
            current = cancel_payout(current, actor=actor)
        if current.status not in states.DELETABLE:
            raise errors.of_payout(errors.PayoutNotDeletable, current)
        Payout.objects.filter(pk=current.pk).update(deleted_at=Now(), version=models.F("version") + 1, updated_at=Now())


def receive_callback(provider_name: str, *, headers: Mapping[str, str], body: bytes) -> None:
    """Store a callback once for each event, however often it comes, and enqueue it for a worker.

    Header names are lower-case. Raises ProviderNotFound, and CallbackRefused if the sender is not certain; then nothing
    was stored.
    """
    callback_id = inbox.store(provider_name, headers=headers, body=body)
    if callback_id is not None:
        dispatch.enqueue_callback(callback_id)


def _lock(payout: Payout, expected_versions: Collection[int] | None) -> Payout:
    """Lock the payout until the transaction ends, and return its current state.

    The lock makes comparing and writing one step: a worker's claim waits, or came first and is visible here.
    """
    current = Payout.objects.select_for_update().filter(pk=payout.pk, deleted_at__isnull=True).first()
    if current is None:
        raise errors.PayoutNotFound
    if expected_versions is not None and current.version not in expected_versions:
        raise errors.PayoutChanged
    return current


def _may_have_been_paid(payout: Payout) -> bool:
    return payout.contradicted_at is not None or claims.sends_maybe_arrived(payout).exists()
