"""Find due work whose message was lost. Needs PostgreSQL alone: without a broker the sweeper does the work itself.

Several sweepers share the work: each takes rows that no other has locked (SKIP LOCKED), and marks them.
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

# Payouts per round. A round ends soon enough to stop; after a full round the next one starts at once.
BATCH: Final = 100

# A new payout or callback was enqueued at once. The sweeper takes those that still wait after this.
ENQUEUED_RECENTLY: Final = timedelta(seconds=2)

# After this time, a message without effect was lost, or no worker is alive (such as a dead worker beside a healthy
# Redis). The sweeper then enqueues again, and does the work itself. A shorter time limit for calls shortens this time
# too, but not below 5 s: a queue that is only long must not look dead.
REENQUEUE_AFTER: Final = timedelta(seconds=min(30, max(5, settings.PROVIDER_TIMEOUT_SECONDS)))

# Tries per round and provider, for payouts that wait for capacity.
CAPACITY_TRIES: Final = 10

# No new call begins after this time in a round: a slow provider must not hold up the other work.
INLINE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Sweep:
    """What one round did."""

    #: Expired leases.
    expired: int = 0
    #: Due payouts taken up: not enqueued before, or no worker came.
    due: int = 0
    rung: int = 0
    processed: int = 0
    #: Callbacks applied.
    callbacks: int = 0

    @property
    def has_more(self) -> bool:
        """Whether to go on at once. Rows that were taken up are marked, so no round finds them again."""
        return BATCH in (self.expired, self.due, self.callbacks)


def sweep() -> Sweep:
    """Do one round, each kind of work at most BATCH times, oldest first.

    1. Payouts with an expired lease become unknown, and due.
    2. Waiting callbacks are applied.
    3. The first payouts that wait for capacity are enqueued: their turn may have been lost.
    4. Due payouts are enqueued. They are processed here if that fails or no worker came for too long.
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
    """One round with its time budget: enqueues a payout, or processes it here."""

    def __init__(self) -> None:
        self._broker_works = True
        self._ends_at = time.monotonic() + INLINE_SECONDS

    def enqueue(self, payout_id: uuid.UUID) -> bool:
        """Enqueue until the first failure: each further failure would take half a second."""
        self._broker_works = self._broker_works and dispatch.send_payouts([payout_id])
        return self._broker_works

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._ends_at

    def process(self, payout_id: uuid.UUID) -> bool:
        """Process the payout, then those that wait for its capacity. Return whether that succeeded."""
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
    """Apply waiting callbacks here: that calls no provider, so a message would only be one more to lose."""
    applied = (_guarded(partial(inbox.apply, taken), "callback", taken) for taken in _claim_callbacks())
    return sum(bool(was_applied) for _, was_applied in applied)


def _claim_callbacks() -> list[int]:
    """Mark callbacks as tried and return them. The mark lets others pass a callback that always fails."""
    waiting = ProviderCallback.objects.filter(admission.has_provider(), applied_at__isnull=True)
    overdue = waiting.filter(received_at__lte=Now() - ENQUEUED_RECENTLY).exclude(tried_at__gt=Now() - REENQUEUE_AFTER)
    with transaction.atomic(durable=True):
        locked = overdue.order_by("id").select_for_update(skip_locked=True)
        ids = list(locked.values_list("pk", flat=True)[:BATCH])
        ProviderCallback.objects.filter(pk__in=ids).update(tried_at=Now())
    return ids


def _sweep_waiting(this_round: _Round) -> None:
    """Keep the queue for capacity moving: the worker that should enqueue the next payout may have died.

    Only the first few are tried: most of the others would have to wait again.
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
    #: Whether it was enqueued when it became due, and no worker came.
    is_repeat: bool


def _claim_due() -> list[Due]:
    """Mark due payouts as enqueued, and return them. No other sweeper takes the same."""
    repeat = models.Q(rung_at__isnull=False, rung_at__gte=models.F("due_at"))
    with transaction.atomic(durable=True):
        rows = list(_to_enqueue().annotate(is_repeat=repeat).order_by("due_at").values_list("pk", "is_repeat")[:BATCH])
        Payout.objects.filter(pk__in=[payout_id for payout_id, _ in rows]).update(rung_at=Now())
    return [Due(*row) for row in rows]


def _to_enqueue() -> models.QuerySet[Payout]:
    """Select due payouts that may be sent, do not wait for capacity, and were not enqueued lately."""
    new = models.Q(status=PayoutStatus.PENDING, rung_at__isnull=True, due_at__gt=Now() - ENQUEUED_RECENTLY)
    enqueued = models.Q(rung_at__gte=models.F("due_at"), rung_at__gt=Now() - REENQUEUE_AFTER)
    due = Payout.objects.due().filter(admission.has_provider(), turned_away_at__isnull=True)
    return due.exclude(new).exclude(enqueued).exclude(admission.is_held()).select_for_update(skip_locked=True)


def _sweep_payouts(taken: list[Due], this_round: _Round) -> tuple[int, int]:
    """Enqueue each payout, process repeats here, and return both counts."""
    enqueued = {due.payout_id for due in taken if this_round.enqueue(due.payout_id)}
    processed = 0
    for due in taken:
        if due.payout_id in enqueued and not due.is_repeat:
            continue
        if not this_round.is_over:
            processed += this_round.process(due.payout_id)
        elif due.payout_id not in enqueued:
            # No message was sent, so the next round may take it.
            Payout.objects.filter(pk=due.payout_id).update(rung_at=None)
    return len(enqueued), processed


Done = TypeVar("Done")


def _guarded(work: Callable[[], Done], thing: str, identifier: object) -> tuple[bool, Done | None]:
    """Do the work. Return whether it succeeded, and its result. A failure must not stop the other rows."""
    extra = {f"{thing}_id": str(identifier)}
    try:
        return True, work()
    except (OperationalError, InterfaceError) as error:
        if not is_locked(error):
            # The database has a problem: the other rows would fail too.
            raise
        # Another transaction holds this row for long.
        logger.warning("sweep.row.locked", extra=extra)
    except Exception:
        logger.exception("sweep.row.failed", extra=extra)
    return False, None
