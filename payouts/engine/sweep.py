"""Find what the doorbell missed. Needs PostgreSQL alone: with the broker down the sweeper does the work itself.

Two or more sweepers share the work: each takes rows that no other is looking at (SKIP LOCKED) and marks them.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, models, transaction
from django.db.models.functions import Now

from payouts import dispatch
from payouts.engine import admission, claims, inbox, processing
from payouts.models import Payout, ProviderCallback
from payouts.states import PayoutStatus
from postgres.errors import is_locked

logger = logging.getLogger(__name__)

# One round's payouts: a round ends in time to be stopped, and the next one starts at once when this one was full.
BATCH: Final = 100

# A new payout or callback has just been rung for. The sweeper takes up what is still waiting after that.
ENQUEUED_RECENTLY: Final = timedelta(seconds=2)

# A ring that led to nothing for so long was lost, or nobody is there to hear it. Then the sweeper rings again, and does
# the work itself: a dead worker beside a Redis that is well looks like this. Where calls are given less time than the
# usual 30 s, a ring is as well; but never so little that a queue which is merely long looks dead.
REENQUEUE_AFTER: Final = timedelta(seconds=min(30, max(5, settings.PROVIDER_TIMEOUT_SECONDS)))

# Of the payouts that wait for room at one provider, so many are tried in each round.
CAPACITY_TRIES: Final = 10

# No new call begins after so long in a round: what else the sweeper does must not wait for a slow provider.
INLINE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Sweep:
    """What one round did."""

    #: Leases that had run out.
    expired: int = 0
    #: Payouts taken up: due, and nobody had been rung for them, or nobody came.
    due: int = 0
    rung: int = 0
    processed: int = 0
    #: Callbacks applied.
    callbacks: int = 0

    @property
    def has_more(self) -> bool:
        """Whether to go on at once. What was taken up is marked, so that a round never finds the same again."""
        return BATCH in (self.expired, self.due, self.callbacks)


def sweep() -> Sweep:
    """Do one round, each kind of work at most BATCH times, oldest first.

    1. Leases that ran out become unknown, and due.
    2. Callbacks that nobody has applied are applied.
    3. Of those that wait for room at their provider, the first are rung for: their turn may have been lost.
    4. Payouts that are due are rung for; processed here, where ringing fails or nobody came for too long.
    """
    expired = _expire_leases()
    callbacks = _sweep_callbacks()
    this_round = _Round()
    _sweep_waiting(this_round)
    taken = _claim_due()
    enqueued, processed = _sweep_payouts(taken, this_round)
    done = Sweep(expired=expired, due=len(taken), rung=enqueued, processed=processed, callbacks=callbacks)
    if done != Sweep():
        logger.info("sweep.finished", extra=vars(done))
    return done


class _Round:
    """What the sweeper does about one payout after the other in a round: it rings, or takes it in hand itself."""

    def __init__(self) -> None:
        self._broker_works = True
        self._ends_at = time.monotonic() + INLINE_SECONDS

    def enqueue(self, payout_id: uuid.UUID) -> bool:
        """Ring until it fails: one failure is enough to know, and each further one would take half a second."""
        self._broker_works = self._broker_works and dispatch.enqueue_payout(payout_id)
        return self._broker_works

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends_at

    def process(self, payout_id: uuid.UUID) -> bool:
        """Process it here, and who takes its room in turn, and tell whether that went well."""
        following: uuid.UUID | None = payout_id
        went_well = False
        while following is not None:
            if self.is_over:
                admission.keep_waiting(following)
                break
            went_well, following = _guarded(partial(processing.process, following), "payout", following)
        return went_well


def _expire_leases() -> int:
    ran_out = Payout.objects.due().filter(status=PayoutStatus.PROCESSING, lease_expires_at__lte=Now())
    ids = list(ran_out.order_by("due_at").values_list("pk", flat=True)[:BATCH])
    expired = (_guarded(partial(claims.expire_lease, payout_id), "payout", payout_id) for payout_id in ids)
    return sum(bool(was_expired) for _, was_expired in expired)


def _sweep_callbacks() -> int:
    """Apply what has waited, here: it calls nobody, so ringing for it would only be a way to lose it once more."""
    applied = (_guarded(partial(inbox.apply, taken), "callback", taken) for taken in _claim_callbacks())
    return sum(bool(was_applied) for _, was_applied in applied)


def _claim_callbacks() -> list[int]:
    """Mark callbacks as tried and return them: one that cannot be applied must not be all that is ever looked at."""
    waiting = ProviderCallback.objects.filter(admission.has_provider(), applied_at__isnull=True)
    overdue = waiting.filter(received_at__lte=Now() - ENQUEUED_RECENTLY).exclude(tried_at__gt=Now() - REENQUEUE_AFTER)
    with transaction.atomic(durable=True):
        locked = overdue.order_by("id").select_for_update(skip_locked=True)
        ids = list(locked.values_list("pk", flat=True)[:BATCH])
        ProviderCallback.objects.filter(pk__in=ids).update(tried_at=Now())
    return ids


def _sweep_waiting(this_round: _Round) -> None:
    """Keep the queue of those that wait for room going. Whoever ends a call rings for the next, unless it died.

    Not for all of them: most would only be turned away once more.
    """
    for provider in admission.providers_at_capacity():
        for _ in range(CAPACITY_TRIES):
            payout_id = admission.take_next_waiting(provider)
            if payout_id is None:
                break
            if not this_round.enqueue(payout_id):
                this_round.process(payout_id)


@dataclass(frozen=True)
class Due:
    payout_id: uuid.UUID
    #: It was rung for when it became due, and nobody has come.
    is_repeat: bool


def _claim_due() -> list[Due]:
    """Mark payouts that are due as rung for, and return them. No other sweeper takes the same."""
    repeat = models.Q(rung_at__isnull=False, rung_at__gte=models.F("due_at"))
    with transaction.atomic(durable=True):
        rows = list(_to_enqueue().annotate(is_repeat=repeat).order_by("due_at").values_list("pk", "is_repeat")[:BATCH])
        Payout.objects.filter(pk__in=[payout_id for payout_id, _ in rows]).update(rung_at=Now())
    return [Due(*row) for row in rows]


def _to_enqueue() -> models.QuerySet[Payout]:
    """What is due, may go, waits for no room, and has not been rung for since it became due, or a while ago."""
    new = models.Q(status=PayoutStatus.PENDING, rung_at__isnull=True, due_at__gt=Now() - ENQUEUED_RECENTLY)
    enqueued = models.Q(rung_at__gte=models.F("due_at"), rung_at__gt=Now() - REENQUEUE_AFTER)
    due = Payout.objects.due().filter(admission.has_provider(), turned_away_at__isnull=True)
    return due.exclude(new).exclude(enqueued).exclude(admission.is_held()).select_for_update(skip_locked=True)


def _sweep_payouts(taken: list[Due], this_round: _Round) -> tuple[int, int]:
    """Ring for each, process those here that nobody came for, and return how many were rung for and processed."""
    enqueued = {due.payout_id for due in taken if this_round.enqueue(due.payout_id)}
    processed = 0
    for due in taken:
        if due.payout_id in enqueued and not due.is_repeat:
            continue
        if not this_round.is_over:
            processed += this_round.process(due.payout_id)
        elif due.payout_id not in enqueued:
            # Nobody knows of it yet; the next round may take it up.
            Payout.objects.filter(pk=due.payout_id).update(rung_at=None)
    return len(enqueued), processed


Done = TypeVar("Done")


def _guarded(work: Callable[[], Done], thing: str, identifier: object) -> tuple[bool, Done | None]:
    """Do it; tell whether it went well, and what it gave. One that fails must not stop those behind it."""
    extra = {f"{thing}_id": str(identifier)}
    try:
        return True, work()
    except (OperationalError, InterfaceError) as error:
        if not is_locked(error):
            # The database is not well: the rows behind this one would fare no better.
            raise
        # Somebody holds this row for long.
        logger.warning("sweep.row.locked", extra=extra)
    except Exception:
        logger.exception("sweep.row.failed", extra=extra)
    return False, None
