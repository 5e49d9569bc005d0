"""What the sweeper does for exports: find the jobs that nobody came for, end what died, erase what nobody can have.

It makes none itself: that takes minutes, and payouts wait for the sweeper. With the broker down jobs stay pending, and
are rung for when it is back.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.db import models, transaction
from django.db.models.functions import Now

from payouts import dispatch
from payouts.exports import lifecycle
from payouts.models import UNWANTED, Export, ExportChunk, ExportStatus

logger = logging.getLogger(__name__)

#: A new job has just been rung for.
JUST_ENQUEUED: Final = timedelta(seconds=2)
#: What was rung for may wait behind others. A ring too many costs a look.
REENQUEUE_AFTER: Final = timedelta(minutes=1)
#: A round's jobs to ring for, and the chunks to erase: a hundred megabytes, a second.
ENQUEUED_MAX: Final = 20
CHUNKS_MAX: Final = 500


@dataclass(frozen=True)
class Sweep:
    """What one round did."""

    rung: int = 0
    failed: int = 0
    expired: int = 0
    #: Chunks.
    erased: int = 0


def sweep() -> Sweep:
    """Do one round.

    1. Streamed exports whose process has died, and jobs that have cost three workers, have failed.
    2. Jobs that nobody has come for, or whose worker has died, are rung for.
    3. What has been kept for long enough expires.
    4. Of what nobody can have any more some chunks are erased.
    """
    failed = lifecycle.fail_abandoned()
    rung = _enqueue_due()
    done = Sweep(rung=rung, failed=failed, expired=lifecycle.expire(), erased=_erase())
    if done != Sweep():
        logger.info("exports.kept_up", extra=vars(done))
    return done


def _enqueue_due() -> int:
    rung = 0
    for export_id in _claim_due():
        # One failure is enough to know: each further one would take half a second.
        if not dispatch.enqueue_export(export_id):
            break
        rung += 1
    return rung


def _claim_due() -> list[uuid.UUID]:
    """Mark jobs as rung for, and return them. No other sweeper takes the same."""
    new = models.Q(status=ExportStatus.PENDING, rung_at__isnull=True, created_at__gt=Now() - JUST_ENQUEUED)
    waiting = models.Q(status=ExportStatus.PENDING) | models.Q(status=ExportStatus.RUNNING, lease_expires_at__lte=Now())
    due = Export.objects.jobs().filter(waiting).exclude(new).exclude(rung_at__gt=Now() - REENQUEUE_AFTER)
    with transaction.atomic(durable=True):
        locked = due.order_by("created_at").select_for_update(skip_locked=True)
        ids = list(locked.values_list("pk", flat=True)[:ENQUEUED_MAX])
        Export.objects.filter(pk__in=ids).update(rung_at=Now())
    return ids


def _erase() -> int:
    """Erase some chunks of the export that has waited longest for it."""
    unwanted = Export.objects.filter(is_stored=True, status__in=UNWANTED)
    with transaction.atomic(durable=True):
        export = unwanted.order_by("finished_at").select_for_update(skip_locked=True).first()
        if export is None:
            return 0
        ids = list(export.chunks.order_by("number").values_list("pk", flat=True)[:CHUNKS_MAX])
        ExportChunk.objects.filter(pk__in=ids).delete()
        if len(ids) < CHUNKS_MAX:
            Export.objects.filter(pk=export.pk).update(is_stored=False)
    return len(ids)
