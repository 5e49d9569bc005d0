"""Pending payouts that are too late to send: past the merchant's `expires_at`, or waiting for too long.

# Note [How long a payout may wait]
A payout waits from its creation, or from the last act of an operator, for PAYOUTS_GIVE_UP_SECONDS. The time under
operators' pauses does not count: an operator knows of it, and ends it. An open circuit counts, and so does a provider
that never has room or is not configured. `expires_at` is the merchant's and counts all time.
Then the payout fails, if no send of its reference may have arrived. Otherwise it is unknown, and its provider is asked.

`give_up_at` is the time of the next look. A payout that is looked at too early gets its time, so each round reads what
is over and no more, however many payouts are held.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Least, Now

from payouts import transitions
from payouts.engine import leases
from payouts.models import Payout
from payouts.states import PayoutStatus
from postgres import rows
from postgres.errors import is_connection_lost

logger = logging.getLogger(__name__)

#: Our own reason for `failed`: nothing was sent, and no send will follow.
NOT_SENT_IN_TIME: Final = "not_sent_in_time"

#: Payouts of one round: as many as the sweeper takes at once.
BATCH: Final = 100

#: How long a payout rests that the database refuses to give up.
POSTPONED_SECONDS: Final = 60.0

_EXPIRED: Final = "It was not sent before expires_at."
_WAITED: Final = "It could not be sent in time, and no money moved."
_MAYBE_SENT: Final = "it was not sent again in time, and may have been sent before"


@dataclass(frozen=True)
class Waiting:
    """A pending payout that was looked at."""

    payout_id: uuid.UUID
    #: Seconds that it may still wait, without the pauses that may come.
    left_seconds: float
    #: Whether expires_at is over.
    is_expired: bool
    maybe_sent: bool

    @property
    def is_over(self) -> bool:
        """Whether the payout is given up. What may have been sent has no expiry: only its provider can tell."""
        return self.left_seconds <= 0 or (self.is_expired and not self.maybe_sent)

    @property
    def end(self) -> dict[str, Any]:
        """What becomes of the payout."""
        if self.maybe_sent:
            return {"to_status": PayoutStatus.UNKNOWN, "reason": _MAYBE_SENT, "code": "", "message": ""}
        message = _EXPIRED if self.is_expired else _WAITED
        return {"to_status": PayoutStatus.FAILED, "reason": message, "code": NOT_SENT_IN_TIME, "message": message}


def first(expires_at: Any) -> Any:
    """Return the time of the first look at a payout that begins to wait now."""
    gives_up_at = Now() + timedelta(seconds=settings.GIVE_UP_SECONDS)
    return gives_up_at if expires_at is None else Least(gives_up_at, expires_at)


def first_of_new(expires_at: datetime | None, *, now: datetime) -> datetime:
    """Return the same for a payout that is created at `now`."""
    gives_up_at = now + timedelta(seconds=settings.GIVE_UP_SECONDS)
    return gives_up_at if expires_at is None else min(gives_up_at, expires_at)


def is_expired(payout: Payout) -> bool:
    """Tell whether the merchant's expires_at is over, by the database's clock."""
    return payout.expires_at is not None and Payout.objects.filter(pk=payout.pk, expires_at__lte=Now()).exists()


def give_up() -> int:
    """Give up the payouts that are too late to send, at most BATCH, and return how many.

    What others have locked is passed over.
    """
    try:
        return _give_up(at_most=BATCH)
    except DatabaseError as error:
        rows.report_set(error, "payout")
    ids = list(_due().order_by("give_up_at").values_list("pk", flat=True)[:BATCH])
    return sum(rows.each(_give_up_or_postpone, ids, "payout"))


def _due() -> Any:
    """Select by the partial index `payout_to_give_up`."""
    return Payout.objects.filter(status=PayoutStatus.PENDING, contradicted_at__isnull=True, give_up_at__lte=Now())


def _give_up_or_postpone(payout_id: uuid.UUID) -> int:
    try:
        return _give_up(at_most=1, only=payout_id)
    except DatabaseError as error:
        if not is_connection_lost(error):
            _due().filter(pk=payout_id).update(give_up_at=Now() + timedelta(seconds=POSTPONED_SECONDS))
        raise


def _give_up(*, at_most: int, only: uuid.UUID | None = None) -> int:
    with transaction.atomic(durable=True):
        found = _look(at_most=at_most, only=only)
        _look_again([waiting for waiting in found if not waiting.is_over])
        over = [waiting for waiting in found if waiting.is_over]
        _end(over)
    return len(over)


# Pauses may overlap, so their union is taken. One that ended before it began was ended by a clock that was set back.
_PAUSED: Final = """(
    SELECT COALESCE(sum(upper(part) - lower(part)), interval '0')
    FROM unnest((
        SELECT range_agg(tstzrange(begun.created_at, GREATEST(begun.created_at, begun.ended)))
        FROM (SELECT *, COALESCE(ended_at, statement_timestamp()) AS ended FROM payouts_pause) AS begun
        WHERE begun.merchant_id = payout.merchant_id OR begun.provider = payout.provider
            OR (begun.merchant_id IS NULL AND begun.provider = '')
    ) * tstzmultirange(tstzrange(LEAST(acted.since, statement_timestamp()), statement_timestamp()))) AS part
)"""

_LOOK: Final = f"""
    WITH looked AS MATERIALIZED (
        SELECT id FROM payouts_payout
        WHERE status = 'pending' AND contradicted_at IS NULL AND give_up_at <= statement_timestamp()
            AND (%(only)s::uuid IS NULL OR id = %(only)s)
        ORDER BY give_up_at LIMIT %(at_most)s
        FOR UPDATE SKIP LOCKED
    )
    SELECT payout.id,
        EXTRACT(epoch FROM %(patience)s - (statement_timestamp() - acted.since - {_PAUSED}))::float8,
        COALESCE(payout.expires_at <= statement_timestamp(), false),
        EXISTS (
            SELECT FROM payouts_payoutattempt AS sent
            WHERE sent.payout_id = payout.id AND sent.reference_number = payout.reference_number
                AND sent.kind = 'send' AND sent.outcome <> 'not_sent'
        )
    FROM looked JOIN payouts_payout AS payout USING (id)
    CROSS JOIN LATERAL (
        SELECT COALESCE(max(finished_at), payout.created_at) AS since FROM payouts_payoutattempt
        WHERE payout_id = payout.id AND kind = 'operator'
    ) AS acted"""


def _look(*, at_most: int, only: uuid.UUID | None) -> list[Waiting]:
    """Lock the payouts whose time has come, and return what is known of them."""
    patience: Any = timedelta(seconds=settings.GIVE_UP_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, {"at_most": at_most, "only": only, "patience": patience})
        return [Waiting(*row) for row in cursor.fetchall()]


def _look_again(early: Sequence[Waiting]) -> None:
    """Set the times of the next looks."""
    if not early:
        return
    looks = [{"id": str(one.payout_id), "left": one.left_seconds, "maybe_sent": one.maybe_sent} for one in early]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE payouts_payout AS payout
            SET give_up_at = LEAST(
                statement_timestamp() + make_interval(secs => look.left),
                CASE WHEN NOT look.maybe_sent THEN payout.expires_at END
            )
            FROM jsonb_to_recordset(%s::jsonb) AS look(id uuid, "left" float8, maybe_sent boolean)
            WHERE payout.id = look.id""",
            [json.dumps(looks)],
        )


_WANTED: Final = """
    wanted AS (
        SELECT payout_id, '{from_status}' AS from_status, {to_status} AS to_status, reason, code, message,
            NULL::uuid AS held_by
        FROM jsonb_to_recordset(%(ends)s::jsonb)
            AS ending(payout_id uuid, to_status text, reason text, code text, message text)
    )"""


def _end(over: Sequence[Waiting]) -> None:
    """Change the statuses by way of `processing`. No lease is taken: nothing is sent."""
    if not over:
        return
    ends = json.dumps([{"payout_id": str(waiting.payout_id), **waiting.end} for waiting in over])
    move = partial(transitions.move_many, parameters={"ends": ends}, actor=leases.ACTOR)
    move(_WANTED.format(from_status="pending", to_status="'processing'"), changes={"due_at": "NULL"})
    move(
        _WANTED.format(from_status="processing", to_status="to_status"),
        changes={
            "due_at": "CASE WHEN wanted.to_status = 'unknown' THEN statement_timestamp() END",
            "failure_code": "wanted.code",
            "failure_message": "wanted.message",
            # The clock of what is unknown counts from here, unless it has begun.
            "first_sent_at": """CASE WHEN wanted.to_status = 'unknown'
                THEN COALESCE(payout.first_sent_at, statement_timestamp()) END""",
        },
    )
    logger.warning("payouts.given_up", extra={"count": len(over)})
