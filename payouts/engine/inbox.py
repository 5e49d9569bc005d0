"""Callbacks of providers: stored once as received, answered at once, and applied later.

Callbacks come in any order, more than once, late, or never. So a missing callback proves nothing, and a callback is
judged by what is known when it is applied (payouts/engine/evidence.py).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from django.db import transaction
from django.db.models.functions import Now

from payouts import attempts, errors
from payouts.engine import contradictions, evidence, outcomes
from payouts.engine.evidence import Evidence, Verdict
from payouts.engine.refused_callbacks import refused
from payouts.models import CallbackResult, Payout, ProviderCallback, references
from payouts.providers import base, registry
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus

logger = logging.getLogger(__name__)

#: Reports that money moved, or is about to.
_ABOUT_MONEY: Final = frozenset({base.ReportKind.PAID, base.ReportKind.ACCEPTED, base.ReportKind.RETURNED})

_RESULTS: Final = {
    Verdict.ADVANCES: CallbackResult.APPLIED,
    Verdict.KNOWN: CallbackResult.KNOWN,
    Verdict.INCONCLUSIVE: CallbackResult.KNOWN,
    Verdict.CONTRADICTS: CallbackResult.CONTRADICTED,
}


def store(provider_name: str, *, headers: Mapping[str, str], body: bytes) -> int | None:
    """Store an authentic callback, once for each event of the provider, and commit.

    Returns the id to enqueue, or None if the callback has been applied. Header names are lower-case. Raises
    ProviderNotFound and CallbackRefused; then nothing was stored.
    """
    provider = registry.PROVIDERS.get(provider_name)
    if provider is None:
        raise errors.ProviderNotFound
    try:
        event_id = provider.authenticate_callback(headers, body)
    except base.CallbackRefused as error:
        refused.record(provider_name, str(error))
        raise errors.CallbackRefused from error
    told = ProviderCallback(provider=provider_name, event_id=event_id, body=body)
    ProviderCallback.objects.bulk_create([told], ignore_conflicts=True)
    waiting = ProviderCallback.objects.filter(provider=provider_name, event_id=event_id, applied_at__isnull=True)
    return waiting.values_list("pk", flat=True).first()


def apply(callback_id: int) -> bool:
    """Apply a stored callback in one transaction. Return whether this call applied it.

    A callback that is applied, or is being applied, is left alone.
    """
    with transaction.atomic(durable=True):
        waiting = ProviderCallback.objects.filter(pk=callback_id, applied_at__isnull=True)
        callback = waiting.select_for_update(skip_locked=True).first()
        # During a rollout, an old worker may lack the provider.
        if callback is None or callback.provider not in registry.PROVIDERS:
            return False
        result, payout, is_alarming = _apply(callback)
        alarmed_at = Now() if is_alarming else None
        waiting.update(applied_at=Now(), result=result, payout=payout, alarmed_at=alarmed_at)
        extra = {"callback_id": callback.pk, "payout_id": str(payout.pk) if payout else None, "result": result.value}
        transaction.on_commit(lambda: logger.info("callback.applied", extra=extra))
        return True


def _apply(callback: ProviderCallback) -> tuple[CallbackResult, Payout | None, bool]:
    """Return the result, the payout, and whether an operator has to find out what the callback is about."""
    try:
        told = registry.get(callback.provider).parse_callback(bytes(callback.body))
    except Exception as error:  # noqa: BLE001 - a retry would fail too, and hold up the others
        logger.error("callback.unreadable", extra={"callback_id": callback.pk, "reason": str(error)})  # noqa: TRY400
        return CallbackResult.UNREADABLE, None, True
    payout, reference_number = _find(callback.provider, told.reference)
    if payout is None:
        is_about_money = told.report.kind in _ABOUT_MONEY
        level = logging.ERROR if is_about_money else logging.WARNING
        logger.log(level, "callback.no_payout", extra={"callback_id": callback.pk})
        return CallbackResult.NO_PAYOUT, None, is_about_money
    if (told.amount, told.currency) != (payout.amount, payout.currency):
        return _apply_other_terms(callback, payout, told, reference_number), payout, False
    return _apply_report(callback, payout, told, reference_number), payout, False


def _apply_other_terms(
    callback: ProviderCallback, payout: Payout, told: base.CallbackReport, reference_number: int
) -> CallbackResult:
    words = f"The provider names another amount or currency: {told.amount:f} {told.currency}."
    found = Evidence(AttemptOutcome.UNKNOWN, "answer_mismatch", words)
    _write(callback, payout, found, reference_number)
    if contradictions.was_looked_at(payout, found, reference_number=reference_number):
        return CallbackResult.KNOWN
    outcomes.flag_contradiction(payout, found)
    return CallbackResult.CONTRADICTED


def _apply_report(
    callback: ProviderCallback, payout: Payout, told: base.CallbackReport, reference_number: int
) -> CallbackResult:
    found = evidence.from_report(told.report, payout.recipient_details)
    _write(callback, payout, found, reference_number)
    was_never_sent = payout.status == PayoutStatus.PENDING and not _was_tried(payout)
    verdict = outcomes.apply(
        payout,
        found,
        reference_number=reference_number,
        actor=_actor(callback),
        reason=f"callback: {found}",
    )
    if verdict is Verdict.ADVANCES and was_never_sent:
        _flag_unsent(payout, found)
    return _RESULTS[verdict]


def _was_tried(payout: Payout) -> bool:
    """Tell whether we have sent the present reference, even if the send did not seem to get through."""
    sends = payout.attempts.filter(kind=AttemptKind.SEND, reference_number=payout.reference_number)
    return sends.exists()


def _flag_unsent(payout: Payout, found: Evidence) -> None:
    """Have an operator look at a payout of which the provider knows, and which we have no record of sending.

    Records of ours were lost, such as by a restored backup, or the provider means another payout.
    """
    # The clocks of what is not final count from here.
    Payout.objects.filter(pk=payout.pk, first_sent_at__isnull=True).update(first_sent_at=Now())
    outcomes.flag_contradiction(payout, found)


def _write(callback: ProviderCallback, payout: Payout, found: Evidence, reference_number: int) -> None:
    attempts.record(
        payout,
        kind=AttemptKind.CALLBACK,
        outcome=found.outcome,
        actor=_actor(callback),
        reference_number=reference_number,
        code=found.code,
        message=found.message,
    )


def _actor(callback: ProviderCallback) -> str:
    return f"provider:{callback.provider}"


def _find(provider: str, reference: str) -> tuple[Payout | None, int]:
    """Lock and return the payout that has or had this reference, and the reference's number."""
    read = references.read(reference)
    if read is None:
        return None, 0
    own_reference, number = read
    known = Payout.objects.with_reference(own_reference).filter(provider=provider, reference_number__gte=number)
    return known.select_for_update().first(), number
