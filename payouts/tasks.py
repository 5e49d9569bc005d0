"""What the worker is rung for. The only file of this app that knows Celery."""

from __future__ import annotations

import logging
import uuid
from typing import Any, Final

from celery import Task, shared_task
from django.db import close_old_connections

from payouts import admission, export_jobs, inbox, processing

logger = logging.getLogger(__name__)

#: An export is given up by itself before that (export_jobs.JOB_SECONDS). A call of a provider has less (settings.py).
EXPORT_SOFT_SECONDS: Final = 30 * 60
EXPORT_SECONDS: Final = EXPORT_SOFT_SECONDS + 60


@shared_task(name="payouts.process_payout", ignore_result=True)
def process_payout(payout_id: str) -> None:
    """Take the payout one step further. Rung twice or too late it finds nothing to do."""
    # Connections are kept between tasks (CELERY_DB_REUSE_MAX), so each task checks its own first, as a request does:
    # after a restart of PostgreSQL the next ring must not meet the old connection.
    close_old_connections()
    next_id = processing.process(uuid.UUID(payout_id))
    if next_id is not None:
        ring_next(next_id)


@shared_task(name="payouts.apply_callback", ignore_result=True)
def apply_callback(callback_id: int) -> None:
    """Apply what a provider told us. Rung twice or too late it finds nothing to do."""
    close_old_connections()
    inbox.apply(callback_id)


@shared_task(
    name="payouts.run_export", ignore_result=True, soft_time_limit=EXPORT_SOFT_SECONDS, time_limit=EXPORT_SECONDS
)
def run_export(export_id: str) -> None:
    """Make an export, and ring for the next. Rung twice or too late it finds nothing to do."""
    close_old_connections()
    next_id = export_jobs.run(uuid.UUID(export_id))
    if next_id is not None:
        ring_for_export(next_id)


def ring(payout_id: uuid.UUID) -> bool:
    """Ring the doorbell for a payout and tell whether somebody may have heard it. Never raises.

    The payout is committed and due, so a ring that is lost costs time: the sweeper finds it. An exception here would
    turn the answer for a committed payout into a 500.
    """
    return _ring(process_payout, str(payout_id), payout_id=str(payout_id))


def ring_next(payout_id: uuid.UUID) -> bool:
    """Ring for one that `admission.take_next` gave, and let it wait on where nobody can have heard it."""
    rung = ring(payout_id)
    if not rung:
        admission.give_back(payout_id)
    return rung


def ring_for_callback(callback_id: int) -> bool:
    """Ring for a stored callback, like `ring`."""
    return _ring(apply_callback, callback_id, callback_id=callback_id)


def ring_for_export(export_id: uuid.UUID) -> bool:
    """Ring for an export that is to be made, like `ring`."""
    return _ring(run_export, str(export_id), export_id=str(export_id))


def _ring(task: Task[Any, None], argument: str | int, **names: str | int) -> bool:
    try:
        task.apply_async(args=(argument,))
    except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, what it is about is committed
        logger.warning("ring.failed", extra={**names, "error": type(error).__name__})
        return False
    return True
