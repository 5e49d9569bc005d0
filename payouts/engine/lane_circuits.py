"""A circuit breaker for each lane, for failures of one merchant while others get through.

The lane gets no sends for a while, with a back-off of its own, and then one payout is its trial. Nothing else changes:
the provider's circuit (payouts/engine/circuits.py) stays closed, and the other merchants' payouts are sent.
"""

from __future__ import annotations

import enum
import logging
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models.functions import Now

from payouts.engine import retries
from payouts.models import LaneCircuit, Payout

logger = logging.getLogger(__name__)

#: As of a provider: one failure is an accident, five in a row of different payouts are not.
FAILURES_MAX: Final = 5


class LaneState(enum.Enum):
    """What a claim knows of the lane of its payout."""

    #: It has not failed.
    CLOSED = "closed"
    #: It has failed, too few times to be held.
    FAILING = "failing"
    #: Its delay is over, and this send is the trial.
    TO_BE_TRIED = "to_be_tried"


def begin_trials(provider: str, mode: str, merchants: Iterable[uuid.UUID], *, seconds: float) -> bool:
    """Take the trials of these lanes for one lease, in the claim's transaction. Return False if another has one."""
    wanted = set(merchants)
    to_be_tried = LaneCircuit.objects.filter(provider=provider, mode=mode, merchant__in=wanted, retry_at__lte=Now())
    return to_be_tried.update(retry_at=Now() + timedelta(seconds=seconds)) == len(wanted)


def record_answers(provider: str, mode: str, merchants: Iterable[uuid.UUID]) -> None:
    """Record that sends of these lanes were answered: their failures are over."""
    lanes = LaneCircuit.objects.filter(provider=provider, mode=mode, merchant__in=set(merchants))
    if lanes.delete()[0]:
        logger.info("lane.circuit.closed", extra={"provider": provider})


def record_failure(payout: Payout, *, is_trial: bool) -> None:
    """Count a failure of the lane, in the caller's transaction, and hold the lane after FAILURES_MAX.

    While the lane is held, only its trial counts: the other sends began before.
    """
    lanes = LaneCircuit.objects.select_for_update()
    lane, _ = lanes.get_or_create(provider=payout.provider, mode=payout.mode, merchant_id=payout.merchant_id)
    if not is_trial and (lane.opened_at is not None or lane.failed_payout_id == payout.pk):
        # It is held already, or the payout was counted before.
        return
    failures_count = lane.failures_count + 1
    changes: dict[str, Any] = {"failures_count": failures_count, "failed_payout_id": payout.pk}
    if failures_count >= FAILURES_MAX:
        times = failures_count - FAILURES_MAX + 1
        delay_seconds = retries.circuit_delay_seconds(times, delay_max=settings.RETRY_DELAY_MAX_SECONDS)
        changes |= {"opened_at": lane.opened_at or Now(), "retry_at": Now() + timedelta(seconds=delay_seconds)}
    LaneCircuit.objects.filter(pk=lane.pk).update(**changes)
    if failures_count == FAILURES_MAX:
        names = {"provider": payout.provider, "mode": payout.mode, "merchant_id": str(payout.merchant_id)}
        logger.warning("lane.circuit.opened", extra=names)


def forget(provider: str, merchants: Iterable[str]) -> None:
    """Forget the failures of these merchants: the provider is in trouble."""
    LaneCircuit.objects.filter(provider=provider, merchant__in=list(merchants)).delete()
