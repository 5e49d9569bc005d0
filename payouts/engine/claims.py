"""Take the lease on a payout: step 1 of Note [Commit, call, commit] in payouts/engine/processing.py.

Each function is one short transaction, which commits before the provider is called. Of several workers one gets the
claim, and the others get None. Times are the database's, so the clocks of the machines do not matter.
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

#: Statuses that the provider can be asked about. requires_attention: only if an operator asks.
ASKABLE = (PayoutStatus.UNKNOWN, PayoutStatus.SUBMITTED, PayoutStatus.PAID, PayoutStatus.REQUIRES_ATTENTION)


# A clock that counts on while the process is frozen and, if the platform allows it, while the machine sleeps.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _clock() -> float:
    return time.clock_gettime(_CLOCK)


class _TrialTaken(Exception):
    """Another process took the trial of this provider. Rolls the claim back."""


@dataclass(frozen=True)
class Claim:
    """A payout under our lease, and the attempt that is about to be made."""

    payout: Payout
    attempt_id: int
    kind: AttemptKind
    #: An earlier attempt may have been executed. NOT_SENT for this attempt then proves nothing.
    maybe_sent: bool
    #: Time of the claim, by the database's clock.
    claimed_at: datetime
    #: Time just before the claim, by this machine's clock.
    began: float
    #: Whether this send is the trial of a provider that was in trouble.
    is_trial: bool = False

    @property
    def has_run_out(self) -> bool:
        """Whether another worker may hold the payout by now."""
        return _clock() - self.began >= settings.LEASE_SECONDS

    @property
    def leaves_time_for_another_call(self) -> bool:
        """Whether one more whole call fits in before the task's soft limit."""
        return _clock() - self.began < settings.CELERY_TASK_SOFT_TIME_LIMIT - settings.PROVIDER_TIMEOUT_SECONDS

    @property
    def is_outside_window(self) -> bool:
        """Whether an earlier send is so old that the provider may pay the same reference once more."""
        return self.maybe_sent and self.instruction.age_seconds >= _window_seconds(self.payout.provider)

    @property
    def instruction(self) -> base.Instruction:
        """The order to the provider."""
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

    Allowed only inside the window in which the provider promises that the same reference pays once. The window is
    shortened by one lease: the send that is claimed now must end before the window does.
    """
    # A later attempt would make the answer that we asked for out of date.
    unchanged = models.Q(lease_token__isnull=True, attempts_count=payout.attempts_count)
    reason = "sent again with the same reference"
    return _claim_send(
        payout, source=PayoutStatus.UNKNOWN, reason=reason, only_if=unchanged & _is_inside_window(payout.provider)
    )


def may_send_again(payout: Payout) -> bool:
    """Tell whether a send with the present reference cannot pay twice: no earlier send, or a recent one."""
    inside = Payout.objects.filter(_is_inside_window(payout.provider), pk=payout.pk)
    return not sends_maybe_arrived(payout).exists() or inside.exists()


def may_keep_reference(payout: Payout) -> bool:
    """Tell whether a send may use the present reference if the provider's window restarts."""
    return _window_seconds(payout.provider) > 0 or not sends_maybe_arrived(payout).exists()


def _is_inside_window(provider: str) -> models.Q:
    return models.Q(first_sent_at__gt=Now() - timedelta(seconds=_window_seconds(provider)))


def _window_seconds(provider: str) -> float:
    """Return how long after the first send another may begin: it must end inside the window."""
    return registry.get(provider).capabilities.idempotency_window_seconds - settings.LEASE_SECONDS


def _claim_send(payout: Payout, *, source: PayoutStatus, reason: str, only_if: models.Q) -> Claim | None:
    circuit = circuits.state_of(payout.provider) if _may_be_in_trouble(payout.provider) else circuits.State.CLOSED
    if circuit is circuits.State.OPEN:
        admission.mark_waiting(payout.pk)
        return None
    began = _clock()
    try:
        with transaction.atomic(durable=True):
            # Lock the row first: a claim that waits for a row and holds the other locks would block all payouts.
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
    """Take the lease to send a payout. A contradicted payout waits until a person has looked."""
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
    """Claim a due payout, to ask what became of it.

    Status, version and updated_at stay: asking changes nothing that the merchant sees.
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
    # Nothing is due until the lease ends: the sweeper reads due_at.
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
    """Select the sends with the present reference that may have reached the provider."""
    return payout.attempts.maybe_sent().filter(reference_number=payout.reference_number)


def expire_lease(payout_id: uuid.UUID) -> bool:
    """Make a payout `unknown` if its worker's lease ran out. Return whether it did.

    An expired lease tells nothing about the money, so the payout becomes neither failed nor pending.
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
