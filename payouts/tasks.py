"""The tasks of the workers. Each finds nothing to do if its message comes twice or too late."""

from __future__ import annotations

import mmap
import uuid
from typing import Final

from celery import shared_task
from celery.signals import worker_init, worker_shutting_down
from django.db import close_old_connections

from payouts import dispatch
from payouts.engine import failover, inbox, rounds
from payouts.exports import jobs

#: An export stops by itself before that (exports/jobs.py, Limits.job_seconds). A call has less (settings.py).
EXPORT_SOFT_SECONDS: Final = 30 * 60
EXPORT_SECONDS: Final = EXPORT_SOFT_SECONDS + 60


# One byte that all processes of a worker share: its main process alone hears that it is to stop.
_stop: Final = mmap.mmap(-1, 1)


@worker_init.connect
def _look_for_failover(**_: object) -> None:
    failover.check_at_start()


@worker_shutting_down.connect
def _claim_no_more(**_: object) -> None:
    _stop[0] = 1


def _wake_another() -> None:
    """Wake another worker process, or this one again. A message that finds nothing due costs a few statements."""
    dispatch.send_payouts([])


@shared_task(name=dispatch.PROCESS_PAYOUTS, ignore_result=True)
def process_payouts(payout_ids: list[str]) -> None:
    """Process what is due: these payouts, as a rule, and whatever else.

    After some seconds the rest is left to another message, so that other tasks have their turn.
    """
    del payout_ids  # The database knows better what is due, and in which order.
    # Connections are kept between tasks (CELERY_DB_REUSE_MAX). So each task checks its own first, as a request does:
    # after a restart of PostgreSQL the next task must not use the old connection.
    close_old_connections()
    done = rounds.run(is_stopping=lambda: bool(_stop[0]), on_backlog=_wake_another)
    if done.has_more and not _stop[0]:
        _wake_another()


@shared_task(name=dispatch.PROCESS_PAYOUT, ignore_result=True)
def process_payout(payout_id: str) -> None:
    """Do the same: messages of the previous version have this name."""
    process_payouts([payout_id])


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
