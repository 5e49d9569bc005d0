"""Pause everything after a failover or a restore: the database may have lost what it knew of payments.

The provider has executed them all the same. A payout whose result was lost would be sent again, and what protects it is
only the provider's memory of references. So an operator compares first, and then resumes.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Final

from django.db import DatabaseError, OperationalError, transaction
from django.db.models.functions import Now

from payouts import errors
from payouts.engine import pauses
from payouts.models import KnownServer
from postgres import incarnations
from postgres.incarnations import Incarnation

logger = logging.getLogger(__name__)

ACTOR: Final = "failover"
REASON: Final = "failover: compare with the bank, then resume"


def check() -> bool:
    """Pause everything if PostgreSQL is not the server of before. Return whether it was another one.

    The pause and the new server are written in one transaction: it happens once for a failover, and is not forgotten.
    Raises OperationalError if the pause could not begin; then the next check tries again.
    """
    present = incarnations.read()
    if present is None:
        return False
    known = KnownServer.objects.values_list("system_identifier", "timeline").first()
    if known is None:
        KnownServer.objects.bulk_create([KnownServer(**present._asdict())], ignore_conflicts=True)
        return False
    before = Incarnation(*known)
    return before != present and _begin(before, present)


def check_at_start() -> None:
    """Check before a worker takes payouts. A failure is logged: the sweeper checks again in each of its rounds."""
    try:
        check()
    except DatabaseError as error:
        logger.warning("failover.check.failed", extra={"error": " ".join(str(error).split())})


def _begin(before: Incarnation, present: Incarnation) -> bool:
    with transaction.atomic():
        known = KnownServer.objects.filter(**before._asdict())
        if not known.update(**present._asdict(), since=Now()):
            # Another process was faster.
            return True
        _pause_everything()
    extra = {"before": ", ".join(map(str, before)), "present": ", ".join(map(str, present))}
    logger.error("failover.found", extra=extra)
    return True


def _pause_everything() -> None:
    """Begin a pause with our reason. One of an operator ends, because it may be resumed for its own reason."""
    everything = pauses.Scope()
    with suppress(errors.NotPaused):
        pauses.resume(everything, actor=ACTOR)
    try:
        pauses.pause(everything, actor=ACTOR, reason=REASON)
    except errors.PauseNotBegun as error:
        # The sweeper takes this for trouble of the database: it sends nothing in this round.
        raise OperationalError(str(error)) from error
