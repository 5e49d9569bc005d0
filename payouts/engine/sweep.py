"""Find due work whose message was lost. Needs PostgreSQL alone: without a broker the sweeper does the work itself.

Several sweepers share the work: each takes rows that no other has locked (SKIP LOCKED), and marks them.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models.functions import Now

from payouts import dispatch
from payouts.engine import admission, circuits, deadlines, failover, inbox, lanes, leases, orphans, rounds
from payouts.models import Payout, ProviderCallback
from payouts.states import AttemptKind, PayoutStatus
from postgres import rows
from postgres.errors import is_connection_lost

logger = logging.getLogger(__name__)

Done = TypeVar("Done")

# Payouts per round. A round ends soon enough to stop; after a full round the next one starts at once.
BATCH: Final = 100

# Due payouts for one message. Each message wakes one worker process.
_OF_A_MESSAGE: Final = 25

# A new payout or callback was enqueued at once. The sweeper takes those that still wait after this.
ENQUEUED_RECENTLY: Final = timedelta(seconds=2)

# After this time, a message without effect was lost, or no worker is alive (such as a dead worker beside a healthy
# Redis). The sweeper then enqueues again, and does the work itself. A shorter time limit for calls shortens this time
# too, but not below 5 s: a queue that is only long must not look dead.
REENQUEUE_AFTER: Final = timedelta(seconds=min(30, max(5, settings.PROVIDER_TIMEOUT_SECONDS)))

# No new call begins after this time in a round: a slow provider must not hold up the other work.
INLINE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Sweep:
    """What one round did."""

    #: Expired leases.
    expired: int = 0
    #: Due payouts that were found: not enqueued before, or no worker came.
    due: int = 0
    rung: int = 0
    #: Calls made here.
    processed: int = 0
    #: Callbacks applied.
    callbacks: int = 0
    #: Pending payouts that were given up.
    given_up: int = 0
    #: Whether more is due that has to be done here.
    is_unfinished: bool = False

    @property
    def has_more(self) -> bool:
        """Whether to go on at once."""
        return self.is_unfinished or BATCH in (self.expired, self.callbacks, self.given_up)


def sweep() -> Sweep:
    """Do one round, each kind of work at most BATCH times. Before it, look for a failover, which pauses.

    1. Payouts with an expired lease become unknown, and due. Those that wait for too long are given up.
    2. Waiting callbacks are applied.
    3. Due payouts are enqueued. They are processed here if that fails or no worker came for too long.
    """
    failover.check()
    expired = _step("leases", _expire_leases) or 0
    given_up = _step("deadlines", deadlines.give_up) or 0
    _step("orphans", orphans.give_up)
    callbacks = _step("callbacks", _sweep_callbacks) or 0
    due = _step("due", partial(_overdue, ENQUEUED_RECENTLY)) or []
    is_enqueued = _enqueue(due)
    here = _process_here() if due and (not is_enqueued or _step("due", partial(_overdue, REENQUEUE_AFTER))) else None
    done = Sweep(
        expired=expired,
        due=len(due),
        rung=len(due) if is_enqueued else 0,
        processed=here.calls if here else 0,
        callbacks=callbacks,
        given_up=given_up,
        is_unfinished=here.has_more if here else False,
    )
    if done != Sweep():
        logger.info("sweep.finished", extra=vars(done))
    return done


def _step(name: str, work: Callable[[], Done]) -> Done | None:
    """Do one kind of work. One that fails is reported, and does not keep the others from being done."""
    return rows.guarded(work, "step", name)[1]


def _overdue(since: timedelta) -> list[uuid.UUID]:
    """Return payouts that have been due for so long and are not held, at most BATCH, from all lanes in turn."""
    found: list[uuid.UUID] = []
    for group in lanes.waiting_groups():
        circuit = circuits.of(group.provider) if group.kind == AttemptKind.SEND else circuits.CLOSED
        if circuit.state is not circuits.State.OPEN:
            # Nobody enqueued a question when it became due.
            least = since if group.kind == AttemptKind.SEND or since > ENQUEUED_RECENTLY else timedelta(0)
            left_out = circuit.failed_merchant_id if circuit.state is circuits.State.OPEN_FOR_ONE else None
            found += lanes.due_ids(group, at_most=BATCH - len(found), since=least, left_out=left_out)
        if len(found) >= BATCH:
            break
    return found


def _enqueue(due: list[uuid.UUID]) -> bool:
    """Send messages for the payouts. Stop at the first failure: each takes half a second."""
    parts = (due[start : start + _OF_A_MESSAGE] for start in range(0, len(due), _OF_A_MESSAGE))
    return all(dispatch.send_payouts(part) for part in parts)


def _process_here() -> rounds.Round:
    return rounds.run(claim_seconds=INLINE_SECONDS)


def _expire_leases() -> int:
    try:
        expired = leases.expire(at_most=BATCH)
    except DatabaseError as error:
        rows.report_set(error, "payout")
        expired = _expire_each()
    leases.end_impossible(at_most=BATCH)
    return expired


def _expire_each() -> int:
    """End the leases one by one, after the database has refused to end them together."""
    ended = Payout.objects.filter(leases.ended(), status=PayoutStatus.PROCESSING)
    ids = list(ended.order_by("lease_expires_at").values_list("pk", flat=True)[:BATCH])
    return sum(rows.each(_expire_or_postpone, ids, "payout"))


def _expire_or_postpone(payout_id: uuid.UUID) -> int:
    try:
        return leases.expire(at_most=1, only=payout_id)
    except DatabaseError as error:
        if not is_connection_lost(error):
            leases.postpone(payout_id)
        raise


def _sweep_callbacks() -> int:
    """Apply waiting callbacks here: that calls no provider, so a message would only be one more to lose."""
    return sum(rows.each(inbox.apply, _claim_callbacks(), "callback"))


def _claim_callbacks() -> list[int]:
    """Mark callbacks as tried and return them. The mark lets others pass a callback that always fails."""
    waiting = ProviderCallback.objects.filter(admission.has_provider(), applied_at__isnull=True)
    overdue = waiting.filter(received_at__lte=Now() - ENQUEUED_RECENTLY).exclude(tried_at__gt=Now() - REENQUEUE_AFTER)
    with transaction.atomic(durable=True):
        locked = overdue.order_by("id").select_for_update(skip_locked=True)
        ids = list(locked.values_list("pk", flat=True)[:BATCH])
        ProviderCallback.objects.filter(pk__in=ids).update(tried_at=Now())
    return ids
