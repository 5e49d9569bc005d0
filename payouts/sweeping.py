"""Find what the doorbell missed. Needs PostgreSQL alone: with the broker down the sweeper does the work itself."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db import InterfaceError, OperationalError, models
from django.db.models.functions import Now

from payouts import processing, tasks
from payouts.models import Payout
from payouts.states import PayoutStatus

logger = logging.getLogger(__name__)

# One round's payouts: a round ends in time to be stopped, and the next one starts at once when this one was full.
BATCH = 100

# A new payout has just been rung for. The sweeper takes up what is still waiting after that.
RUNG_RECENTLY = timedelta(seconds=2)


@dataclass(frozen=True)
class Sweep:
    """What one round did."""

    due: int = 0
    rung: int = 0
    processed: int = 0

    @property
    def has_more(self) -> bool:
        """Whether to go on at once. Where it rang, the workers need the pause to get to what they were rung for."""
        return self.processed == BATCH


def sweep() -> Sweep:
    """Ring for each payout that is due, oldest first, at most BATCH; process those here for which ringing failed.

    Two sweepers at once are safe: a payout that both ring for is claimed by one worker.
    """
    waiting = models.Q(status=PayoutStatus.PENDING, due_at__gt=Now() - RUNG_RECENTLY)
    ours = Payout.objects.due().filter(processing.has_provider()).exclude(waiting)
    due = list(ours.order_by("due_at").values_list("id", flat=True)[:BATCH])
    rung = processed = 0
    bell_works = True
    for payout_id in due:
        # One failure is enough to know: each further one would take half a second.
        bell_works = bell_works and tasks.ring(payout_id)
        if bell_works:
            rung += 1
        else:
            _process_here(payout_id)
            processed += 1
    if due:
        logger.info("sweep.finished", extra={"due": len(due), "rung": rung, "processed": processed})
    return Sweep(due=len(due), rung=rung, processed=processed)


def _process_here(payout_id: uuid.UUID) -> None:
    """Process without a worker. One payout that cannot be processed must not stop those behind it."""
    try:
        processing.process(payout_id)
    except (OperationalError, InterfaceError):
        # The database is not well: the rows behind this one would fare no better.
        raise
    except Exception:
        logger.exception("payout.processing.failed", extra={"payout_id": str(payout_id)})
