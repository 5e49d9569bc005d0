"""The engine: take a payout that is due one step further. Knows no HTTP and no Celery.

# Note [Commit, call, commit]
1. A short transaction takes the lease and writes the attempt, and commits.
2. The provider is called. No transaction is open and no row is locked.
3. A second short transaction writes what the answer showed and changes the status.
A worker that dies between 1 and 3 leaves a lease that runs out; what it may have sent is then asked about. Time is the
database's alone, so that the clocks of the machines do not matter.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models.functions import Coalesce, Now

from payouts import evidence as evidence_of
from payouts import retries, states, transitions
from payouts.evidence import Evidence
from payouts.models import AttemptKind, AttemptOutcome, Payout, PayoutAttempt
from payouts.providers import base, registry
from payouts.states import PayoutStatus

logger = logging.getLogger(__name__)

ACTOR = "worker"

# Deadlines nest: a provider gets 30 s, Celery stops a task softly at 45 s and kills it at 60 s, and only then may
# somebody else conclude that the worker is gone.
LEASE_SECONDS = 90

_LEASE_ENDS = Now() + timedelta(seconds=LEASE_SECONDS)

ASKABLE = (PayoutStatus.UNKNOWN, PayoutStatus.SUBMITTED, PayoutStatus.PAID)


@dataclass(frozen=True)
class Claim:
    """A payout that is ours until its lease runs out, and the attempt that is about to be made."""

    payout: Payout
    attempt_id: int
    kind: AttemptKind
    #: An earlier attempt may have been executed: that this one was not sent proves nothing then.
    maybe_sent: bool
    #: When, by the database's clock.
    claimed_at: datetime


def process(payout_id: uuid.UUID) -> None:
    """Take the payout one step further if something is due, and return.

    1. Pending: send it.
    2. Processing with a lease that ran out: its worker died and may have sent it, so it becomes unknown.
    3. Unknown, submitted or recently paid: ask the provider.
    Any number of callers may do this at once: one gets the payout, for the others there is nothing to do.
    """
    claim = _claim_send(payout_id, source=PayoutStatus.PENDING, only_if=models.Q(due_at__lte=Now()))
    if claim is None:
        _expire_lease(payout_id)
        claim = _claim_ask(payout_id)
    if claim is None:
        return
    provider = registry.get(claim.payout.provider)
    if claim.kind == AttemptKind.SEND:
        _attempt(claim, provider.send)
    elif _attempt(claim, provider.ask) == AttemptOutcome.NOT_FOUND:
        _send_again(claim.payout, provider)


def _attempt(claim: Claim, call: Callable[[base.Instruction], base.Report]) -> AttemptOutcome:
    """Call the provider and settle: steps 2 and 3 of Note [Commit, call, commit]."""
    found = evidence_of.gather(call, _instruction(claim))
    settle(claim, found)
    return found.outcome


def _instruction(claim: Claim) -> base.Instruction:
    payout = claim.payout
    sent_at = payout.first_sent_at or claim.claimed_at
    return base.Instruction(
        reference=str(payout.id),
        amount=payout.amount,
        currency=payout.currency,
        recipient_details=payout.recipient_details,
        attempt=payout.attempts_count,
        age_seconds=(claim.claimed_at - sent_at).total_seconds(),
    )


def _claim_send(payout_id: uuid.UUID, *, source: PayoutStatus, only_if: models.Q) -> Claim | None:
    """Take the lease on a payout that is to be sent, and write the attempt."""
    with transaction.atomic(durable=True):
        payout = transitions.move(
            payout_id,
            source=source,
            target=PayoutStatus.PROCESSING,
            actor=ACTOR,
            reason="claimed" if source == PayoutStatus.PENDING else "sent again with the same reference",
            only_if=only_if & has_provider(),
            **_lease(),
            first_sent_at=Coalesce("first_sent_at", Now()),
        )
        if payout is None:
            return None
        return _begin_attempt(payout, AttemptKind.SEND, maybe_sent=_sends_maybe_arrived(payout).exists())


def _claim_ask(payout_id: uuid.UUID) -> Claim | None:
    """Take the lease on a payout that is to be asked about, and write the attempt.

    The status stays, and so do version and updated_at: asking changes nothing that the merchant sees.
    """
    with transaction.atomic(durable=True):
        claimed = Payout.objects.due().filter(has_provider(), pk=payout_id, status__in=ASKABLE).update(**_lease())
        if not claimed:
            return None
        return _begin_attempt(Payout.objects.get(pk=payout_id), AttemptKind.ASK, maybe_sent=True)


def has_provider() -> models.Q:
    """Select the payouts whose provider this version has.

    While a new version is rolled out, an old worker may be rung for one that it lacks. It leaves the payout alone: to
    claim what it cannot send would make "may have been sent" of it.
    """
    return models.Q(provider__in=list(registry.PROVIDERS))


def _lease() -> dict[str, Any]:
    # Until the lease ends nothing is due: due_at is what the sweeper looks at.
    return {
        "lease_token": uuid.uuid4(),
        "lease_expires_at": _LEASE_ENDS,
        "due_at": _LEASE_ENDS,
        "attempts_count": models.F("attempts_count") + 1,
    }


def _begin_attempt(payout: Payout, kind: AttemptKind, *, maybe_sent: bool) -> Claim:
    attempt = PayoutAttempt.objects.create(payout=payout, number=payout.attempts_count, kind=kind)
    claimed_at = payout.updated_at if kind == AttemptKind.SEND else attempt.started_at
    return Claim(payout, attempt.pk, kind, maybe_sent, claimed_at)


def _expire_lease(payout_id: uuid.UUID) -> None:
    """A lease that ran out tells nothing about the money: unknown, neither failed nor pending."""
    transitions.move(
        payout_id,
        source=PayoutStatus.PROCESSING,
        target=PayoutStatus.UNKNOWN,
        actor=ACTOR,
        reason="the lease ran out: the worker may have sent it before it died",
        only_if=models.Q(lease_expires_at__lte=Now()),
        due_at=Now(),
    )


def settle(claim: Claim, found: Evidence) -> None:
    """Write what the provider's answer showed, and change the status where it is evidence of another one.

    Where the lease was lost meanwhile, the evidence is applied to the payout as it is now: it is never thrown away.
    """
    with transaction.atomic(durable=True):
        PayoutAttempt.objects.filter(pk=claim.attempt_id).update(
            finished_at=Now(), outcome=found.outcome, code=found.code, message=found.message
        )
        target, reason, changes = _decide(claim, found)
        source = PayoutStatus(claim.payout.status)
        mine = models.Q(lease_token=claim.payout.lease_token)
        if target is None:
            settled = _stay(claim.payout, mine, changes)
        else:
            settled = _move_to(claim.payout.id, source=source, target=target, reason=reason, only_if=mine, **changes)
        if not settled:
            _apply_late(claim, found)


Decision = tuple[PayoutStatus | None, str, dict[str, Any]]


def _decide(claim: Claim, found: Evidence) -> Decision:
    """Return the status that the payout goes to (None: it stays), the reason, and the columns that change with it."""
    payout, status = claim.payout, PayoutStatus(claim.payout.status)
    target = evidence_of.target_of(found.outcome)
    if _proves_nothing(claim, found):
        target = None
    if target is not None and states.leads_to(status, target):
        return target, _reason(found), _columns(target, found, payout)
    if target is not None and target != status:
        logger.error("payout.evidence.contradicted", extra=_names(payout.id, status, found))
    if status == PayoutStatus.PROCESSING:
        return _decide_unsettled_send(claim, found)
    return _decide_next_ask(claim, status, found)


def _decide_unsettled_send(claim: Claim, found: Evidence) -> Decision:
    if found.outcome != AttemptOutcome.NOT_SENT or claim.maybe_sent:
        return PayoutStatus.UNKNOWN, _reason(found), {"due_at": _in(retries.ask_delay_seconds(1))}
    if _tried_for_seconds(claim) >= retries.NOT_SENT_GIVE_UP_SECONDS:
        # Evidence that no money moved: not one attempt reached the provider.
        failure = {"failure_code": "provider_unavailable", "failure_message": found.message}
        return PayoutStatus.FAILED, _reason(found), {"due_at": None, **failure}
    delay_seconds = retries.send_delay_seconds(claim.payout.attempts_count)
    # Nothing was sent, so the provider's windows have not begun: they run from the attempt that may reach it.
    return PayoutStatus.PENDING, _reason(found), {"due_at": _in(delay_seconds), "first_sent_at": None}


def _tried_for_seconds(claim: Claim) -> float:
    first_started_at = claim.payout.attempts.order_by("number").values_list("started_at", flat=True)[0]
    return (claim.claimed_at - first_started_at).total_seconds()


def _decide_next_ask(claim: Claim, status: PayoutStatus, found: Evidence) -> Decision:
    capabilities = registry.get(claim.payout.provider).capabilities
    patience_seconds = {
        PayoutStatus.UNKNOWN: retries.UNKNOWN_GIVE_UP_SECONDS,
        PayoutStatus.SUBMITTED: capabilities.settle_time_seconds,
        PayoutStatus.PAID: capabilities.return_window_seconds,
    }[status]
    settled_for_good = status == PayoutStatus.PAID and found.is_final
    if _waited_seconds(claim, status) < patience_seconds and not settled_for_good:
        return None, "", {"due_at": _in(retries.ask_delay_seconds(claim.payout.attempts_count))}
    if status == PayoutStatus.PAID:
        return None, "", {"due_at": None}
    return PayoutStatus.REQUIRES_ATTENTION, "the provider did not say in time how it ended", {"due_at": None}


def _waited_seconds(claim: Claim, status: PayoutStatus) -> float:
    """Return the seconds since the payout was sent, or since it was accepted or paid where that is known."""
    if status == PayoutStatus.UNKNOWN:
        return _instruction(claim).age_seconds
    since = claim.payout.transitions.filter(to_status=status).order_by("-id").values_list("created_at", flat=True)[0]
    return (claim.claimed_at - since).total_seconds()


def _columns(target: PayoutStatus, found: Evidence, payout: Payout) -> dict[str, Any]:
    columns: dict[str, Any] = {"due_at": None}
    if found.provider_reference:
        columns["provider_reference"] = found.provider_reference
    if target in {PayoutStatus.FAILED, PayoutStatus.RETURNED}:
        columns |= {"failure_code": found.code, "failure_message": found.message}
    elif target == PayoutStatus.SUBMITTED or _may_come_back(payout, found):
        # Not final yet, or it may still come back: ask again.
        columns["due_at"] = _in(retries.ask_delay_seconds(1))
    return columns


def _may_come_back(payout: Payout, found: Evidence) -> bool:
    return not found.is_final and registry.get(payout.provider).capabilities.return_window_seconds > 0


def _in(seconds: float) -> models.Expression | models.F:
    return Now() + timedelta(seconds=seconds)


def _reason(found: Evidence) -> str:
    said = f"provider: {found.outcome.value}"
    return f"{said}, {found.code}: {found.message}" if found.code else said


def _stay(payout: Payout, mine: models.Q, changes: dict[str, Any]) -> bool:
    """Give the lease back and set when to ask next."""
    return bool(
        Payout.objects.filter(mine, pk=payout.pk, status=payout.status).update(
            lease_token=None, lease_expires_at=None, **changes
        )
    )


def _move_to(
    payout_id: uuid.UUID,
    *,
    source: PayoutStatus,
    target: PayoutStatus,
    reason: str,
    only_if: models.Q | None = None,
    **changes: Any,
) -> bool:
    """Move to the target; money that came back has moved first, so `returned` goes through `paid`."""
    if target == PayoutStatus.RETURNED and source != PayoutStatus.PAID:
        if not transitions.move(
            payout_id, source=source, target=PayoutStatus.PAID, actor=ACTOR, reason=reason, only_if=only_if
        ):
            return False
        source, only_if = PayoutStatus.PAID, None
    moved = transitions.move(
        payout_id, source=source, target=target, actor=ACTOR, reason=reason, only_if=only_if, **changes
    )
    return moved is not None


def _apply_late(claim: Claim, found: Evidence) -> None:
    """Apply evidence of a worker that lost its lease to the payout as it is now."""
    payout = Payout.objects.select_for_update().get(pk=claim.payout.pk)
    status, target = PayoutStatus(payout.status), evidence_of.target_of(found.outcome)
    names = _names(payout.id, status, found)
    if target is None or target == status or _proves_nothing(claim, found):
        logger.info("payout.evidence.late", extra=names)
    elif states.leads_to(status, target) and status in {PayoutStatus.PROCESSING, *ASKABLE}:
        _move_to(
            payout.id,
            source=status,
            target=target,
            reason=f"late evidence: {_reason(found)}",
            **_columns(target, found, payout),
        )
    else:
        logger.error("payout.evidence.contradicted", extra=names)


def _proves_nothing(claim: Claim, found: Evidence) -> bool:
    """Tell whether the provider refused one send of several.

    The refusal is true of that one, and says nothing of the others, which may have moved the money or still will.
    Refused when asked about the reference is another matter: that is said of all of them.
    """
    refused_send = claim.kind == AttemptKind.SEND and found.outcome == AttemptOutcome.REJECTED
    return refused_send and _sends_maybe_arrived(claim.payout).exclude(pk=claim.attempt_id).exists()


def _sends_maybe_arrived(payout: Payout) -> models.QuerySet[PayoutAttempt]:
    """Every send of the payout that may have reached the provider."""
    return payout.attempts.filter(kind=AttemptKind.SEND).exclude(outcome=AttemptOutcome.NOT_SENT)


def _names(payout_id: uuid.UUID, status: PayoutStatus, found: Evidence) -> dict[str, str]:
    return {"payout_id": str(payout_id), "status": status.value, "outcome": found.outcome.value}


def _send_again(payout: Payout, provider: base.Provider) -> None:
    """Send an unknown payout, which the provider does not know, once more with the same reference.

    Not finding it is no proof that it was never executed. So only inside the window in which the provider promises
    that the same reference pays once.
    """
    if (
        payout.status != PayoutStatus.UNKNOWN
        or _sends_maybe_arrived(payout).filter(outcome=AttemptOutcome.REJECTED).exists()
    ):
        # What it refused once it would refuse again. An answer, or an operator, has to end this one.
        return
    window_seconds = provider.capabilities.idempotency_window_seconds
    # The lease is kept back: the send that is claimed now must have ended before the window has.
    inside_window = models.Q(first_sent_at__gt=Now() - timedelta(seconds=window_seconds - LEASE_SECONDS))
    # Nobody has tried anything since we asked, or what we were told is out of date.
    unchanged = models.Q(lease_token__isnull=True, attempts_count=payout.attempts_count)
    claim = _claim_send(payout.pk, source=PayoutStatus.UNKNOWN, only_if=unchanged & inside_window)
    if claim is not None:
        _attempt(claim, provider.send)
