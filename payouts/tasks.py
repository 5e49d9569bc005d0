"""The tasks of the workers. Each finds nothing to do if its message comes twice or too late."""

from __future__ import annotations

import uuid
from typing import Final

from celery import shared_task
from django.db import close_old_connections

from payouts import dispatch
from payouts.engine import admission, inbox, processing
from payouts.exports import jobs

#: An export stops by itself before that (exports/jobs.py, JOB_SECONDS). A call has less (settings.py).
EXPORT_SOFT_SECONDS: Final = 30 * 60
EXPORT_SECONDS: Final = EXPORT_SOFT_SECONDS + 60


@shared_task(name=dispatch.PROCESS_PAYOUTS, ignore_result=True)
def process_payouts(payout_ids: list[str]) -> None:
    """Take the payouts one step further."""
    for payout_id in payout_ids:
        process_payout(payout_id)


@shared_task(name=dispatch.PROCESS_PAYOUT, ignore_result=True)
def process_payout(payout_id: str) -> None:
    """Take the payout one step further. Messages of the previous version have this name."""
    # Connections are kept between tasks (CELERY_DB_REUSE_MAX). So each task checks its own first, as a request does:
    # after a restart of PostgreSQL the next task must not use the old connection.
    close_old_connections()
    next_id = processing.process(uuid.UUID(payout_id))
    if next_id is not None:
        _enqueue_waiting(next_id)


@shared_task(name=dispatch.APPLY_CALLBACK, ignore_result=True)
def apply_callback(callback_id: int) -> None:
    """Apply a stored callback of a provider."""
    close_old_connections()
    inbox.apply(callback_id)


@shared_task(
    name=dispatch.RUN_EXPORT, ignore_result=True, soft_time_limit=EXPORT_SOFT_SECONDS, time_limit=EXPORT_SECONDS
)
def run_export(export_id: str) -> None:
    """Make an export, and enqueue the next one."""
    close_old_connections()
    next_id = jobs.run(uuid.UUID(export_id))
    if next_id is not None:
        dispatch.send_export(next_id)


def _enqueue_waiting(payout_id: uuid.UUID) -> None:
    """Enqueue the payout of `admission.take_next_waiting`. It waits on if the broker does not accept the message."""
    if not dispatch.send_payouts([payout_id]):
        admission.keep_waiting(payout_id)
