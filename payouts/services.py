"""What a merchant may ask for its payouts, and what a provider tells of them. Each function is one transaction, and
calls nothing outside the database.

The caller has found the payout through `visible_to`, so whose it is need not be asked again: merchant and mode of a
payout never change (a trigger sees to it).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models.functions import Now

from accounts.models import MerchantAPIKey, Mode
from payouts import dispatch, errors, money, recipient_needs, states, transitions
from payouts.engine import claims, inbox
from payouts.models import Payout, PayoutAttempt
from payouts.states import PayoutStatus
from postgres.errors import violates
from rest import texts

#: What may be changed only before anything is sent.
PENDING_ONLY_FIELDS: Final = ("amount", "currency", "recipient_details", "reference")
#: The merchant's own notes, which no provider sees.
FREE_FIELDS: Final = ("comment", "metadata")


def create_payout(*, api_key: MerchantAPIKey, idempotency_key: str | None, **fields: Any) -> Payout:
    """Create a pending payout with its first row of history; the doorbell is rung once that is committed.

    Raises LiveProviderMissing for a live payout where no provider is configured: nothing could ever pay it out. Raises
    RecipientNotStructured where the provider cannot pay the recipient as it was sent, and PayoutExists where there is a
    payout with the key already.
    """
    provider_name = _provider_name(api_key.mode)
    recipient_needs.refuse_unusable(provider_name, fields["recipient_details"])
    with transaction.atomic(savepoint=False):
        payout = _insert_payout(
            merchant_id=api_key.merchant_id,
            mode=api_key.mode,
            provider=provider_name,
            idempotency_key=idempotency_key,
            **fields,
        )
        transitions.record(
            payout.id, from_status="", to_status=payout.status, actor=actor_of(api_key), reason="created"
        )
        # `robust` alone would not do: ring() must not raise, or the answer for a committed payout would be a 500.
        transaction.on_commit(lambda: dispatch.enqueue_payout(payout.id), robust=True)
    return payout


def _insert_payout(**columns: Any) -> Payout:
    try:
        return Payout.objects.create(**columns)
    except IntegrityError as error:
        # The second guard. The idempotency record is the first, so this takes a database that lost records.
        if violates(error, "payout_idempotency_key_unique_per_merchant"):
            raise errors.PayoutExists from error
        raise


def _provider_name(mode: str) -> str:
    if mode == Mode.TEST:
        return "sandbox"
    if not settings.LIVE_PROVIDER:
        raise errors.LiveProviderMissing
    return str(settings.LIVE_PROVIDER)


def actor_of(api_key: MerchantAPIKey) -> str:
    """Return how a merchant is named in the history: by the API key, never by its secret."""
    return f"merchant:{api_key.prefix}"


def update_payout(payout: Payout, *, expected_versions: Collection[int] | None = None, **fields: Any) -> Payout:
    """Change the payout and return it as it is now. Setting a field to the value that it has is no change.

    Raises PayoutChanged unless it has one of the versions that the caller expects (None: any), PayoutNotChangeable for
    a change of amount, currency, recipient or reference once it is no longer pending, RecipientNotStructured where the
    provider cannot pay the new recipient, and AmountDoesNotFit where the amount has more decimals than the currency.
    """
    with transaction.atomic(savepoint=False):
        current = _lock(payout, expected_versions)
        changes = {name: value for name, value in fields.items() if not texts.is_same(getattr(current, name), value)}
        if not changes:
            return current
        may_change = current.status == PayoutStatus.PENDING and not _may_have_been_paid(current)
        if set(changes) & set(PENDING_ONLY_FIELDS) and not may_change:
            raise errors.PayoutNotChangeable(f"{_first_sentence(current)} {errors.PayoutNotChangeable().message}")
        if "recipient_details" in changes:
            recipient_needs.refuse_unusable(current.provider, changes["recipient_details"])
        # Asked again under the lock: two requests, each right for what it read, may change amount and currency.
        amount = changes.get("amount", current.amount.normalize())
        if not money.fits(amount, changes.get("currency", current.currency)):
            raise errors.AmountDoesNotFit(field="amount")
        Payout.objects.filter(pk=current.pk).update(version=models.F("version") + 1, updated_at=Now(), **changes)
        return Payout.objects.get(pk=current.pk)


def cancel_payout(payout: Payout, *, actor: str, expected_versions: Collection[int] | None = None) -> Payout:
    """Cancel a pending payout and return it; one that is canceled already is returned as it is.

    Raises PayoutChanged like update_payout, and PayoutNotCancelable in every other status, and for one that an operator
    has sent again although it may have been sent before. Between this and a worker the first to commit wins.
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
        raise errors.PayoutNotCancelable(f"{_first_sentence(current)} {errors.PayoutNotCancelable().message}")
    return current


def delete_payout(payout: Payout, *, actor: str, expected_versions: Collection[int] | None = None) -> None:
    """Take the payout off the merchant's list, canceling it first where it is pending. It is kept for audit.

    Raises PayoutChanged like update_payout, and PayoutNotDeletable where money may move or has moved.
    """
    with transaction.atomic(savepoint=False):
        current = _lock(payout, expected_versions)
        if current.status == PayoutStatus.PENDING:
            current = cancel_payout(current, actor=actor)
        if current.status not in states.DELETABLE:
            raise errors.PayoutNotDeletable(f"{_first_sentence(current)} {errors.PayoutNotDeletable().message}")
        Payout.objects.filter(pk=current.pk).update(deleted_at=Now(), version=models.F("version") + 1, updated_at=Now())


def receive_callback(provider_name: str, *, headers: Mapping[str, str], body: bytes) -> None:
    """Store what a provider tells us, for a worker to apply. Once for each of its events, however often it is told.

    The names of the headers are lower-case. Raises ProviderNotFound, and CallbackRefused where it is not certain who
    sent it; then nothing was stored.
    """
    callback_id = inbox.store(provider_name, headers=headers, body=body)
    if callback_id is not None:
        dispatch.enqueue_callback(callback_id)


def _lock(payout: Payout, expected_versions: Collection[int] | None) -> Payout:
    """Return the payout as it is now and keep it so until the transaction ends.

    The lock makes comparing and writing one step: a worker that claims meanwhile waits, or was first and is seen.
    """
    current = Payout.objects.select_for_update().filter(pk=payout.pk, deleted_at__isnull=True).first()
    if current is None:
        raise errors.PayoutNotFound
    if expected_versions is not None and current.version not in expected_versions:
        raise errors.PayoutChanged
    return current


def _may_have_been_paid(payout: Payout) -> bool:
    return payout.contradicted_at is not None or claims.sends_maybe_arrived(payout).exists()


def _first_sentence(payout: Payout) -> str:
    if payout.status == PayoutStatus.PENDING:
        return "This payout may have been sent before it became pending again."
    return f"This payout is {PayoutStatus(payout.status).label.lower()}."
