"""Messages to the workers: each asks for a task by its name (payouts/tasks.py).

The work is committed and due, so a lost message costs only time: the sweeper sends another.
So no function here raises: an exception would turn the answer for a committed payout into a 500.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Sequence
from typing import Final

from celery import current_app

from payouts.dispatch.doorbell import Doorbell, Message

logger = logging.getLogger(__name__)

PROCESS_PAYOUTS: Final = "payouts.process_payouts"
#: The name of one payout's message in the previous version.
PROCESS_PAYOUT: Final = "payouts.process_payout"
APPLY_CALLBACK: Final = "payouts.apply_callback"
RUN_EXPORT: Final = "payouts.run_export"

#: Payouts of one message: 20 kB.
_PAYOUTS_MAX: Final = 500


def enqueue_payout(payout_id: uuid.UUID) -> None:
    """Have the payout taken one step further. Returns at once, whatever state the broker is in."""
    _doorbell.ring(PROCESS_PAYOUTS, str(payout_id))


def enqueue_callback(callback_id: int) -> None:
    """Have a stored callback applied. Returns at once, whatever state the broker is in."""
    _doorbell.ring(APPLY_CALLBACK, callback_id)


def enqueue_export(export_id: uuid.UUID) -> None:
    """Have an export made. Returns at once, whatever state the broker is in."""
    _doorbell.ring(RUN_EXPORT, str(export_id))


def flush(*, seconds: float) -> bool:
    """Wait until all messages of this process are sent or dropped. Return False if that takes longer."""
    return _doorbell.flush(seconds=seconds)


def send_payouts(payout_ids: Iterable[uuid.UUID]) -> bool:
    """Send one message for these payouts, now. Return False if the broker did not accept it within half a second."""
    return _send(PROCESS_PAYOUTS, [str(payout_id) for payout_id in payout_ids])


def send_export(export_id: uuid.UUID) -> bool:
    """Send the message for an export, now. Return False if the broker did not accept it within half a second."""
    return _send(RUN_EXPORT, str(export_id))


def _send_gathered(messages: Sequence[Message]) -> None:
    """Send the doorbell's messages: one for many payouts. After a failure the rest is dropped: each try takes time."""
    payouts = [argument for task, argument in messages if task == PROCESS_PAYOUTS]
    parts: list[tuple[str, str | int | list[str | int]]] = [
        (PROCESS_PAYOUTS, payouts[start : start + _PAYOUTS_MAX]) for start in range(0, len(payouts), _PAYOUTS_MAX)
    ]
    parts += [message for message in messages if message[0] != PROCESS_PAYOUTS]
    for task, argument in parts:
        if not _send(task, argument):
            return


def _send(task: str, argument: object) -> bool:
    try:
        # Without ignore_result the producer would subscribe to a result that no task returns.
        current_app.send_task(task, args=(argument,), ignore_result=True)
    except Exception as error:  # noqa: BLE001 - Clients of brokers raise errors of many classes.
        logger.warning("enqueue.failed", extra={"task": task, "for": argument, "error": type(error).__name__})
        return False
    return True


_doorbell: Final = Doorbell(_send_gathered)
