"""Take the lease on a payout: step 1 of Note [Commit, call, commit] in payouts/engine/processing.py.

Each function is one short transaction, which commits before anybody is called. Of several who try at once one gets the
claim, and the others None. Time is the database's, so that the clocks of the machines do not matter.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Coalesce, Now

from payouts import transitions
from payouts.engine import admission, circuits
from payouts.models import Payout, PayoutAttempt
from payouts.providers import base, registry
from payouts.states import AttemptKind, PayoutStatus

logger = logging.getLogger(__name__)

ACTOR = "worker"

#: What the provider can tell something about. requires_attention: only when an operator has it asked.
ASKABLE = (PayoutStatus.UNKNOWN, PayoutStatus.SUBMITTED, PayoutStatus.PAID, PayoutStatus.REQUIRES_ATTENTION)


# It counts on while the process is frozen and, where the platform has such a clock, while the machine sleeps.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _clock() -> float:
    return time.clock_gettime(_CLOCK)


class _TrialTaken(Exception):
    """Another process took the trial of this provider. Undoes the claim."""


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
    #: A moment before that, by the clock of this machine.
    began: float
    #: It is the one payout with which a provider that was in trouble is tried.
    is_trial: bool = False

    @property
    def has_run_out(self) -> bool:
        """Whether somebody else may hold the payout by now."""
        return _clock() - self.began >= settings.LEASE_SECONDS

    @property
    def leaves_time_for_another_call(self) -> bool:
        """Whether a whole call still fits in before the task's soft limit."""
        return _clock() - self.began < settings.CELERY_TASK_SOFT_TIME_LIMIT - settings.PROVIDER_TIMEOUT_SECONDS

    @property
    def is_outside_window(self) -> bool:
        """Whether it may have been sent before, so long ago that the provider may pay the same reference once more."""
        return self.maybe_sent and self.instruction.age_seconds >= _window_seconds(self.payout.provider)

    @property
    def instruction(self) -> base.Instruction:
        """What the provider is told."""
        sent_at = self.payout.first_sent_at or self.claimed_at
        return base.Instruction(
            reference=self.payout.provider_key,
            amount=self.payout.amount,
            currency=self.payout.currency,
            recipient_details=self.payout.recipient_details,
            attempt=self.payout.attempts_count,
            age_seconds=(self.claimed_at - sent_at).total_seconds(),
        )


def claim_send(payout: Payout) -> Claim | None:
    """Claim a pending payout that is due, to send it."""
    return _claim_send(payout, source=PayoutStatus.PENDING, reason="claimed", only_if=models.Q(due_at__lte=Now()))


def claim_send_again(payout: Payout) -> Claim | None:
    """Claim an unknown payout, to send it once more with the same reference.

    Only inside the window in which the provider promises that the same reference pays once. The lease is kept back
    from it: the send that is claimed now must have ended before the window has.
    """
    # Nobody has tried anything since we asked, or what we were told is out of date.
    unchanged = models.Q(lease_token__isnull=True, attempts_count=payout.attempts_count)
    reason = "sent again with the same reference"
    return _claim_send(
        payout, source=PayoutStatus.UNKNOWN, reason=reason, only_if=unchanged & _is_inside_window(payout.provider)
    )


def may_send_again(payout: Payout) -> bool:
    """Tell whether to send it with its present reference cannot pay twice: it was never sent, or not long ago."""
    inside = Payout.objects.filter(_is_inside_window(payout.provider), pk=payout.pk)
    return not sends_maybe_arrived(payout).exists() or inside.exists()


def may_keep_reference(payout: Payout) -> bool:
    """Tell whether it can be sent with its present reference where the provider's window begins anew."""
    return _window_seconds(payout.provider) > 0 or not sends_maybe_arrived(payout).exists()


def _is_inside_window(provider: str) -> models.Q:
    return models.Q(first_sent_at__gt=Now() - timedelta(seconds=_window_seconds(provider)))


def _window_seconds(provider: str) -> float:
    """Return for how long after the first send another one may begin: it must have ended before the window has."""
    return registry.get(provider).capabilities.idempotency_window_seconds - settings.LEASE_SECONDS


def _claim_send(payout: Payout, *, source: PayoutStatus, reason: str, only_if: models.Q) -> Claim | None:
    circuit = circuits.state_of(payout.provider) if _may_be_in_trouble(payout.provider) else circuits.State.CLOSED
    if circuit is circuits.State.OPEN:
        admission.mark_waiting(payout.pk)
        return None
    began = _clock()
    try:
        with transaction.atomic(durable=True):
            # The row first: whoever waited for one with the other locks in hand would hold up all payouts.
            _lock_row(payout)
            admission.lock_pauses_shared()
            if not admission.has_capacity(payout.provider):
                admission.mark_waiting(payout.pk)
                return None
            taken = _take(payout, source=source, reason=reason, only_if=only_if)
            return _begin_send(taken, began=began, circuit=circuit) if taken is not None else None
    except _TrialTaken:
        admission.mark_waiting(payout.pk)
        return None


def _lock_row(payout: Payout) -> None:
    Payout.objects.filter(pk=payout.pk).select_for_update().values_list("pk", flat=True).first()


def _may_be_in_trouble(provider: str) -> bool:
    return registry.get(provider).capabilities.fails_as_a_whole


def _take(payout: Payout, *, source: PayoutStatus, reason: str, only_if: models.Q) -> Payout | None:
    """Take the lease on a payout that is to be sent. What its provider contradicts waits until a person has looked."""
    may_go = admission.has_provider() & models.Q(contradicted_at__isnull=True) & ~models.Q(admission.is_paused())
    return transitions.move(
        payout.pk,
        source=source,
        target=PayoutStatus.PROCESSING,
        actor=ACTOR,
        reason=reason,
        only_if=only_if & may_go,
        **_lease(),
        first_sent_at=Coalesce("first_sent_at", Now()),
    )


def _begin_send(payout: Payout, *, began: float, circuit: circuits.State) -> Claim:
    is_trial = circuit is circuits.State.TO_BE_TRIED
    if is_trial and not circuits.begin_trial(payout.provider, seconds=settings.LEASE_SECONDS):
        raise _TrialTaken
    maybe_sent = sends_maybe_arrived(payout).exists()
    return _begin_attempt(payout, AttemptKind.SEND, began=began, maybe_sent=maybe_sent, is_trial=is_trial)


def claim_ask(payout: Payout) -> Claim | None:
    """Claim a payout that is due, to ask what became of it.

    The status stays, and so do version and updated_at: asking changes nothing that the merchant sees.
    """
    began = _clock()
    with transaction.atomic(durable=True):
        askable = Payout.objects.due().filter(admission.has_provider(), pk=payout.pk, status__in=ASKABLE)
        _lock_row(payout)
        if not askable.exists():
            return None
        if not admission.has_capacity(payout.provider):
            admission.mark_waiting(payout.pk)
            return None
        if not askable.update(**_lease()):
            return None
        return _begin_attempt(Payout.objects.get(pk=payout.pk), AttemptKind.ASK, began=began, maybe_sent=True)


def _lease() -> dict[str, Any]:
    ends = Now() + timedelta(seconds=settings.LEASE_SECONDS)
    # Until the lease ends nothing is due: due_at is what the sweeper looks at.
    return {
        "lease_token": uuid.uuid4(),
        "lease_expires_at": ends,
        "due_at": ends,
        "turned_away_at": None,
        "attempts_count": models.F("attempts_count") + 1,
    }


def _begin_attempt(
    payout: Payout, kind: AttemptKind, *, began: float, maybe_sent: bool, is_trial: bool = False
) -> Claim:
    attempt = PayoutAttempt.objects.create(
        payout=payout, number=payout.attempts_count, kind=kind, reference_number=payout.reference_number
    )
    claimed_at = payout.updated_at if kind == AttemptKind.SEND else attempt.started_at
    return Claim(payout, attempt.pk, kind, maybe_sent, claimed_at, began, is_trial)


def sends_maybe_arrived(payout: Payout) -> models.QuerySet[PayoutAttempt]:
    """Every send with the payout's present reference that may have reached the provider."""
    return payout.attempts.maybe_sent().filter(reference_number=payout.reference_number)


def expire_lease(payout_id: uuid.UUID) -> bool:
    """Make `unknown` of a payout whose worker's lease ran out, and tell whether it was so.

    It tells nothing about the money: neither failed nor pending.
    """
    expired = transitions.move(
        payout_id,
        source=PayoutStatus.PROCESSING,
        target=PayoutStatus.UNKNOWN,
        actor=ACTOR,
        reason="the lease ran out: the worker may have sent it before it died",
        only_if=models.Q(lease_expires_at__lte=Now()),
        due_at=Now(),
    )
    return expired is not None
