"""A key is kept for ever, its answer for a while.

An answer is some hundred bytes with a person's name and account in it, and is of use only as long as its client may
still be trying. What is left of a record afterwards keeps the key from ever being used for a second payout.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models.functions import Now

from idempotency.models import IdempotencyRecord

logger = logging.getLogger(__name__)

# Rows of one transaction: locked for some tens of milliseconds, in which a retry with one of these keys has to wait.
BATCH = 500

# Of one round of the sweeper, which has payouts to look after. At a round each 5 s that is 86 million answers a day,
# more than one PostgreSQL takes in.
BATCHES_MAX = 10

# The same in time, for a database that is slow: no further batch is begun after it.
ROUND_SECONDS = 1.0


def purge_responses(*, older_than: timedelta) -> int:
    """Erase the answers that are older, oldest first, and return how many there were; at most BATCH * BATCHES_MAX.

    Each batch is a transaction of its own. It asks the index of answers that are kept, and nothing else, so that the
    number of keys does not matter. Several at once share the work.
    """
    purged, oldest = 0, None
    ends_at = time.monotonic() + ROUND_SECONDS
    for _ in range(BATCHES_MAX):
        batch = purge_batch(older_than, oldest)
        purged += len(batch)
        if len(batch) < BATCH or time.monotonic() > ends_at:
            break
        # While a backup or a report keeps an old snapshot, PostgreSQL cannot take what was purged out of the index.
        # The next batch need not walk over it: measured, 400,000 of them cost 150 ms.
        oldest = batch[-1]
    if purged:
        logger.info("idempotency.responses.purged", extra={"count": purged})
    return purged


def purge_batch(older_than: timedelta, oldest: datetime | None) -> list[datetime]:
    """Erase one batch and return when its records were created, in order; none is older than `oldest`."""
    # Each has a resource (migration 0002 sees to those of version 0.1). One without it would stop the others, as the
    # database refuses to erase an answer of which nothing would be left.
    old = IdempotencyRecord.objects.filter(
        response_purged_at__isnull=True, resource_id__isnull=False, created_at__lt=Now() - older_than
    )
    if oldest is not None:
        old = old.filter(created_at__gte=oldest)
    with transaction.atomic():
        # Somebody else's rows are left to them. The ids first: PostgreSQL then has no choice but the primary key.
        unlocked = old.order_by("created_at").select_for_update(skip_locked=True)
        batch = list(unlocked.values_list("id", "created_at")[:BATCH])
        IdempotencyRecord.objects.filter(id__in=[record_id for record_id, _ in batch]).update(
            response_body=None, response_headers={}, response_purged_at=Now()
        )
    return [created_at for _, created_at in batch]
