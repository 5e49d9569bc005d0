"""The sweeper's part of exports: enqueue waiting jobs, fail dead exports, expire old ones, erase chunks.

The sweeper makes no export itself: that takes minutes, and payouts wait for the sweeper. While the broker is down jobs
stay pending, and the sweeper enqueues them later.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from django.db import models, transaction
from django.db.models.functions import Now

from payouts import dispatch
from payouts.exports import lifecycle
from payouts.models import UNWANTED, Export, ExportChunk, ExportStatus, lease_ended
from postgres import rows

logger = logging.getLogger(__name__)

#: A request enqueues its job.
JUST_ENQUEUED: Final = timedelta(seconds=2)
#: An enqueued job may wait behind others. An extra message costs one query.
REENQUEUE_AFTER: Final = timedelta(minutes=1)
#: Limits of a round: messages, chunks to erase (100 MB, a second), and exports that they are of.
ENQUEUED_MAX: Final = 20
CHUNKS_MAX: Final = 500
ERASED_MAX: Final = 50


@dataclass(frozen=True)
class Sweep:
    """Counts of a round."""

    rung: int = 0
    failed: int = 0
    expired: int = 0
    #: Chunks.
    erased: int = 0


def sweep() -> Sweep:
    """Do one round.

    1. Fail streams whose process has died, and jobs that have cost three workers.
    2. Enqueue jobs that still wait, or whose worker has died.
    3. Expire exports past their retention.
    4. Erase some chunks of exports that can no longer be downloaded.
    """
    done = Sweep(
        failed=_step("fail", lifecycle.fail_abandoned),
        rung=_step("enqueue", _enqueue_due),
        expired=_step("expire", lifecycle.expire),
        erased=_step("erase", _erase),
    )
    if done != Sweep():
        logger.info("exports.kept_up", extra=vars(done))
    return done


def _step(name: str, work: Callable[[], int]) -> int:
    """Do one step. One that fails is reported, and does not keep the others from being done."""
    return rows.guarded(work, "step", name)[1] or 0


def _enqueue_due() -> int:
    rung = 0
    for export_id in _claim_due():
        # Stop at the first failure: each takes half a second.
        if not dispatch.send_export(export_id):
            break
        rung += 1
    return rung


def _claim_due() -> list[uuid.UUID]:
    """Mark jobs as enqueued, and return their ids. Each job goes to one sweeper."""
    new = models.Q(status=ExportStatus.PENDING, rung_at__isnull=True, created_at__gt=Now() - JUST_ENQUEUED)
    waiting = models.Q(status=ExportStatus.PENDING) | lease_ended() & models.Q(status=ExportStatus.RUNNING)
    due = Export.objects.jobs().filter(waiting).exclude(new).exclude(rung_at__gt=Now() - REENQUEUE_AFTER)
    with transaction.atomic(durable=True):
        locked = due.order_by("created_at").select_for_update(skip_locked=True)
        ids = list(locked.values_list("pk", flat=True)[:ENQUEUED_MAX])
        Export.objects.filter(pk__in=ids).update(rung_at=Now())
    return ids


def _erase() -> int:
    """Erase some chunks, of the exports that ended first. An export that cannot be erased is left to the next round."""
    unwanted = Export.objects.filter(is_stored=True, status__in=UNWANTED)
    erased = 0
    for export_id in unwanted.order_by("finished_at").values_list("pk", flat=True)[:ERASED_MAX]:
        erase = partial(_erase_of, export_id, chunks_max=CHUNKS_MAX - erased)
        _, count = rows.guarded(erase, "export", export_id)
        erased += count or 0
        if erased >= CHUNKS_MAX:
            break
    return erased


def _erase_of(export_id: uuid.UUID, *, chunks_max: int) -> int:
    """Erase some chunks of this export and return their number: 0 if another sweeper has the export."""
    with transaction.atomic(durable=True):
        export = Export.objects.filter(pk=export_id, is_stored=True).select_for_update(skip_locked=True).first()
        if export is None:
            return 0
        ids = list(export.chunks.order_by("number").values_list("pk", flat=True)[:chunks_max])
        ExportChunk.objects.filter(pk__in=ids).delete()
        if len(ids) < chunks_max:
            Export.objects.filter(pk=export.pk).update(is_stored=False)
    return len(ids)
