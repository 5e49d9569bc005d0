"""A key is kept forever, its answer for a while.

An answer is some hundred bytes with a person's name and account, and is useful only while the client may still retry.
The rest of the record prevents a second payout with the same key.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import DatabaseError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from idempotency.models import IdempotencyRecord
from postgres import rows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much is erased at once."""

    #: Rows of one transaction. They are locked for some tens of milliseconds, and a retry with one of the keys waits.
    batch: int = 500
    #: Limit for one round of the sweeper, which also handles payouts. At a round each 5 s this is 86 million answers a
    #: day, more than one PostgreSQL can store.
    batches_max: int = 10
    #: Time limit of a round, for a slow database. No batch begins after it.
    round_seconds: float = 1.0


LIMITS: Final = Limits()


def purge_responses(*, older_than: timedelta, limits: Limits = LIMITS) -> int:
    """Erase older answers, oldest first and within the limits, and return their number.

    Each batch is one transaction. It reads only the index of kept answers, so that the number of keys does not matter.
    Concurrent purges share the work.
    """
    purged, oldest = 0, None
    ends_at = time.monotonic() + limits.round_seconds
    for _ in range(limits.batches_max):
        batch = purge_batch(older_than, oldest, size=limits.batch)
        purged += len(batch)
        if len(batch) < limits.batch or time.monotonic() > ends_at:
            break
        # While a backup or a report holds an old snapshot, purged entries stay in PostgreSQL's index. The next batch
        # skips them: measured, 400,000 of them cost 150 ms.
        oldest = batch[-1]
    if purged:
        logger.info("idempotency.responses.purged", extra={"count": purged})
    return purged


def purge_batch(older_than: timedelta, oldest: datetime | None, *, size: int = LIMITS.batch) -> list[datetime]:
    """Erase one batch, no older than `oldest`, and return when its records were created, in order."""
    # Every record has a resource (migration 0002 adds it to those of version 0.1). A record without one would block the
    # batch, because the database refuses to erase its answer.
    old = IdempotencyRecord.objects.filter(
        response_purged_at__isnull=True, resource_id__isnull=False, created_at__lt=Now() - older_than
    )
    if oldest is not None:
        old = old.filter(created_at__gte=oldest)
    try:
        return _erase(old.order_by("created_at")[:size])
    except DatabaseError as error:
        rows.report_set(error, "idempotency_record")
    # One that the database refuses must not keep the others. It is tried again in the next round.
    found = list(old.order_by("created_at").values_list("id", "created_at")[:size])
    rows.each(lambda record_id: _erase(old.filter(pk=record_id)), [record_id for record_id, _ in found], "record")
    return [created_at for _, created_at in found]


def _erase(records: QuerySet[IdempotencyRecord]) -> list[datetime]:
    with transaction.atomic():
        # Skip rows that others have locked. Ids first, so that PostgreSQL uses the primary key for the UPDATE.
        batch = list(records.select_for_update(skip_locked=True).values_list("id", "created_at"))
        IdempotencyRecord.objects.filter(id__in=[record_id for record_id, _ in batch]).update(
            response_body=None, response_headers={}, response_purged_at=Now()
        )
    return [created_at for _, created_at in batch]
