"""Leases that have ended, and what becomes of their payouts.

A lease that ends later than any lease can is one that has ended too: the database's clock was ahead when it was taken.
The worker is safe with that. It knows by its own clock that its lease has run out (Claim.has_run_out), and whatever it
reports late is applied as late evidence.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Final

from django.db import models, transaction
from django.db.models.functions import Now

from payouts import transitions
from payouts.models import Payout
from payouts.states import PayoutStatus

ACTOR: Final = "worker"

#: Three times the longest PAYOUTS_PROVIDER_TIMEOUT_SECONDS. It is not this process's own lease: during a change of that
#: setting others have longer ones.
LEASE_SECONDS_MAX: Final = 900

POSTPONED_SECONDS: Final = 60

RAN_OUT: Final = "the lease ran out: the worker may have sent it before it died"

_LONGEST: Final = timedelta(seconds=LEASE_SECONDS_MAX)

#: The SQL condition that a worker holds the payout.
HOLDS: Final = f"""lease_expires_at > statement_timestamp()
            AND lease_expires_at <= statement_timestamp() + interval '{LEASE_SECONDS_MAX} s'"""

_HAS_ENDED: Final = f"""(lease_expires_at <= statement_timestamp()
            OR lease_expires_at > statement_timestamp() + interval '{LEASE_SECONDS_MAX} s')"""


def held() -> models.Q:
    """Select the payouts that a worker holds."""
    return models.Q(lease_expires_at__gt=Now(), lease_expires_at__lte=Now() + _LONGEST)


def ended() -> models.Q:
    """Select the payouts with a lease that has ended."""
    return models.Q(lease_expires_at__lte=Now()) | models.Q(lease_expires_at__gt=Now() + _LONGEST)


def is_held(payout: Payout) -> bool:
    """Tell whether a worker holds the payout, by the database's clock."""
    return payout.lease_token is not None and Payout.objects.filter(held(), pk=payout.pk).exists()


def status_without_ended(payout: Payout) -> PayoutStatus | None:
    """Return the status in which an operator finds the payout; None if a worker holds it."""
    if is_held(payout):
        return None
    is_abandoned = payout.status == PayoutStatus.PROCESSING and payout.lease_token is not None
    return PayoutStatus.UNKNOWN if is_abandoned else PayoutStatus(payout.status)


def expire(*, at_most: int, only: uuid.UUID | None = None) -> int:
    """End the leases that have ended, and return the number of payouts that became `unknown`.

    An expired lease tells nothing about the money, so a payout becomes neither failed nor pending. What others have
    locked is passed over.
    """
    wanted = f"""
        wanted AS (
            SELECT id AS payout_id, status AS from_status, 'unknown' AS to_status, %(reason)s AS reason,
                lease_token AS held_by
            FROM payouts_payout
            WHERE status = 'processing' AND {_HAS_ENDED} AND (%(only)s::uuid IS NULL OR id = %(only)s)
            ORDER BY lease_expires_at LIMIT {at_most}
            FOR UPDATE SKIP LOCKED
        )"""
    changes = {"lease_token": "NULL", "lease_expires_at": "NULL", "due_at": "statement_timestamp()"}
    with transaction.atomic(durable=True):
        given = {"only": only, "reason": RAN_OUT}
        expired = transitions.move_many(wanted, given, actor=ACTOR, changes=changes)
    return len(expired)


def postpone(payout_id: uuid.UUID) -> None:
    """Let a lease that the database refuses to end rest for a while, so that it holds up none behind it."""
    postponed = Now() + timedelta(seconds=POSTPONED_SECONDS)
    Payout.objects.filter(ended(), pk=payout_id, status=PayoutStatus.PROCESSING).update(lease_expires_at=postponed)


def end(payout: Payout) -> bool:
    """End the lease of a payout that the caller's transaction has locked, if it has ended. Return whether it had.

    A payout that was being sent becomes unknown, and due, as in the sweeper's rounds.
    """
    if payout.lease_token is None or is_held(payout):
        return False
    if payout.status == PayoutStatus.PROCESSING:
        transitions.move(
            payout.pk,
            source=PayoutStatus.PROCESSING,
            target=PayoutStatus.UNKNOWN,
            actor=ACTOR,
            reason=RAN_OUT,
            due_at=Now(),
        )
    else:
        Payout.objects.filter(pk=payout.pk).update(lease_token=None, lease_expires_at=None, due_at=Now())
    return True


def end_impossible(*, at_most: int) -> int:
    """Release questions whose leases end later than any lease can, and return their number.

    The next question about such a payout would be due when its lease ends.
    """
    beyond = Payout.objects.filter(lease_expires_at__gt=Now() + _LONGEST).exclude(status=PayoutStatus.PROCESSING)
    with transaction.atomic(durable=True):
        ids = list(beyond.select_for_update(skip_locked=True).values_list("pk", flat=True)[:at_most])
        return Payout.objects.filter(pk__in=ids).update(lease_token=None, lease_expires_at=None, due_at=Now())
