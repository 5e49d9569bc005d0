"""Messages to the workers: each asks for a task by its name (payouts/tasks.py).

The work is committed and due, so a lost message costs only time: the sweeper sends another.
So no function here raises: an exception would turn the answer for a committed payout into a 500.
"""

from __future__ import annotations

import logging
import uuid
from typing import Final

from celery import current_app

logger = logging.getLogger(__name__)

PROCESS_PAYOUT: Final = "payouts.process_payout"
APPLY_CALLBACK: Final = "payouts.apply_callback"
RUN_EXPORT: Final = "payouts.run_export"


def enqueue_payout(payout_id: uuid.UUID) -> bool:
    """Have the payout taken one step further. Return False if the broker did not accept the message."""
    return _enqueue(PROCESS_PAYOUT, str(payout_id), payout_id=str(payout_id))


def enqueue_callback(callback_id: int) -> bool:
    """Have a stored callback applied. Return False if the broker did not accept the message."""
    return _enqueue(APPLY_CALLBACK, callback_id, callback_id=callback_id)


def enqueue_export(export_id: uuid.UUID) -> bool:
    """Have an export made. Return False if the broker did not accept the message."""
    return _enqueue(RUN_EXPORT, str(export_id), export_id=str(export_id))


def _enqueue(task: str, argument: str | int, **names: str | int) -> bool:
    try:
        # Without ignore_result the producer would subscribe to a result that no task returns.
        current_app.send_task(task, args=(argument,), ignore_result=True)
    except Exception as error:  # noqa: BLE001 - Clients of brokers raise errors of many classes.
        logger.warning("enqueue.failed", extra={**names, "task": task, "error": type(error).__name__})
        return False
    return True
