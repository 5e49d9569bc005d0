"""What the worker is rung for. The only file of this app that knows Celery."""

from __future__ import annotations

import logging
import uuid

from celery import shared_task
from django.db import close_old_connections

from payouts import processing

logger = logging.getLogger(__name__)


@shared_task(name="payouts.process_payout", ignore_result=True)
def process_payout(payout_id: str) -> None:
    """Take the payout one step further. Rung twice or too late it finds nothing to do."""
    # Connections are kept between tasks (CELERY_DB_REUSE_MAX), so each task checks its own first, as a request does:
    # after a restart of PostgreSQL the next ring must not meet the old connection.
    close_old_connections()
    processing.process(uuid.UUID(payout_id))


def ring(payout_id: uuid.UUID) -> bool:
    """Ring the doorbell for a payout and tell whether somebody may have heard it. Never raises.

    The payout is committed and due, so a ring that is lost costs time: the sweeper finds it. An exception here would
    turn the answer for a committed payout into a 500.
    """
    try:
        process_payout.apply_async(args=(str(payout_id),))
    except Exception as error:  # noqa: BLE001 - whatever a broker's client raises, the payout is safe
        logger.warning("payout.ring.failed", extra={"payout_id": str(payout_id), "error": type(error).__name__})
        return False
    return True
