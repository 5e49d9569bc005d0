"""A key is kept for ever, its answer for a while.

An answer is some hundred bytes with a person's name and account in it, and is of use only as long as its client may
still be trying. What is left of a record afterwards keeps the key from ever being used for a second payout.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from idempotency.models import IdempotencyRecord

logger = logging.getLogger(__name__)

# Rows of one transaction: locked for some tens of milliseconds, in which a retry with one of these keys has to wait.
BATCH = 500

# Of one round of the sweeper, which has payouts to look after: a second or two at most. At a round each 5 s that is
# 86 million answers a day, more than one PostgreSQL takes in.
BATCHES_MAX = 10


def purge_responses(*, older_than: timedelta) -> int:
    """Erase the answers that are older, oldest first, and return how many there were; at most BATCH * BATCHES_MAX.

    Each batch is a transaction of its own. It asks the index of answers that are kept, and nothing else, so that the
    number of keys does not matter. Several at once share the work.
    """
    purged = 0
    for _ in range(BATCHES_MAX):
        batch = _purge_batch(older_than)
        purged += batch
        if batch < BATCH:
            break
    if purged:
        logger.info("idempotency.responses.purged", extra={"count": purged})
    return purged


def _purge_batch(older_than: timedelta) -> int:
    # One without a resource was recorded by a process of version 0.1 during an upgrade: nothing could be answered
    # after the purge, so it keeps its answer.
    old = IdempotencyRecord.objects.filter(
        response_purged_at__isnull=True, resource_id__isnull=False, created_at__lt=Now() - older_than
    )
    with transaction.atomic():
        # Somebody else's rows are left to them. The ids first: PostgreSQL then has no choice but the primary key.
        ids = list(old.order_by("created_at").select_for_update(skip_locked=True).values_list("id", flat=True)[:BATCH])
        return IdempotencyRecord.objects.filter(id__in=ids).update(
            response_body=None, response_headers={}, response_purged_at=Now()
        )
