"""The way to change a payout's status: a conditional UPDATE and a row of history, in one transaction.

Nothing else writes `status`. Of several callers with the same change one succeeds and the others get None, which is
an answer and no error. A change that is not in the table of states.py raises TransitionNotAllowed, and the trigger of
migration 0016 refuses it again.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any, Final

from django.db import models, transaction
from django.db.models.functions import Now

from payouts import errors, limits, states
from payouts.models import Payout, PayoutTransition
from payouts.states import PayoutStatus

logger = logging.getLogger(__name__)

#: Remark in the history of a payout that the merchant had deleted.
LISTED_AGAIN = " (listed again: the merchant had deleted it)"


def move(
    payout_id: uuid.UUID,
    *,
    source: PayoutStatus,
    target: PayoutStatus,
    actor: str,
    reason: str,
    only_if: models.Q | None = None,
    **changes: Any,
) -> Payout | None:
    """Change the status from source to target, with `changes` to other columns, and record who did it and why.

    Returns the changed payout, or None if it was not in `source` or `only_if` did not hold; then nothing was written.
    Leaving `processing` gives up the lease. A payout that was deleted and turns out to be paid is listed again, and the
    history says so.
    Uses the caller's transaction, or else opens one.
    Raises TransitionNotAllowed for a change that the table does not have.
    """
    if not states.may_become(source, target):
        raise errors.TransitionNotAllowed(f"{source} -> {target}")
    changes = {"lease_token": None, "lease_expires_at": None} | changes
    # Migration 0012 has the same rule for the previous version, which lacks the column.
    changes["completed_at"] = Now() if target in states.OVER else None
    if target in states.LISTED:
        changes["deleted_at"] = None
    with transaction.atomic(savepoint=False):
        reason = _reason_with_listing(payout_id, source=source, target=target, reason=reason)
        moved = Payout.objects.filter(only_if or models.Q(), pk=payout_id, status=source).update(
            status=target, version=models.F("version") + 1, updated_at=Now(), **changes
        )
        if not moved:
            return None
        record(payout_id, from_status=source, to_status=target, actor=actor, reason=reason)
        return Payout.objects.get(pk=payout_id)


def move_many(
    wanted: str,
    parameters: Mapping[str, Any],
    *,
    actor: str,
    changes: Mapping[str, str],
    also: str = "",
    columns: str = "",
    joins: str = "",
) -> list[Payout]:
    """Change the status of many payouts, and record it, in one statement. Return the payouts that were changed.

    `wanted` are CTEs that end with `wanted(payout_id, from_status, to_status, reason, held_by)`. A payout is changed if
    it still has `from_status`, and its lease is still `held_by` (NULL: no lease). `changes` are SQL values of further
    columns, which may read `payout` and `wanted`. `also` are CTEs that read `moved`, the payouts as changed. `columns`
    and `joins` add attributes to the payouts that are returned.
    A change that the table of states.py does not have is refused by the trigger, with an IntegrityError.
    """
    assignments = ", ".join(f"{column} = {value}" for column, value in changes.items())
    statement = f"""
        WITH RECURSIVE {wanted},
        moved AS (
            UPDATE payouts_payout AS payout
            SET status = wanted.to_status, version = payout.version + 1, updated_at = statement_timestamp(),
                completed_at = CASE WHEN wanted.to_status = ANY(%(over)s) THEN statement_timestamp() END,
                deleted_at = CASE WHEN wanted.to_status <> ALL(%(listed)s) THEN payout.deleted_at END,
                {assignments}
            FROM wanted
            WHERE payout.id = wanted.payout_id AND payout.status = wanted.from_status
                AND payout.lease_token IS NOT DISTINCT FROM wanted.held_by
            RETURNING {Payout.columns(of="payout")}, wanted.from_status, wanted.reason
        ),
        history AS (
            INSERT INTO payouts_payouttransition (payout_id, from_status, to_status, actor, reason)
            SELECT id, from_status, status, %(actor)s, reason FROM moved
        )
        {also}
        SELECT {Payout.columns(of="moved")}, moved.from_status, moved.reason {columns} FROM moved {joins}"""
    sets = {"over": [status.value for status in states.OVER], "listed": [status.value for status in states.LISTED]}
    given = {**parameters, **sets, "actor": actor}
    moved = list(Payout.objects.raw(statement, given))
    transaction.on_commit(lambda: _log(moved))
    return moved


def _log(moved: list[Payout]) -> None:
    for payout in moved:
        change: Any = payout
        names = {"from_status": change.from_status, "to_status": payout.status, "reason": change.reason}
        logger.info("payout.moved", extra={"payout_id": str(payout.pk), **names})


def _reason_with_listing(payout_id: uuid.UUID, *, source: PayoutStatus, target: PayoutStatus, reason: str) -> str:
    """Return the reason with a remark if the change brings a deleted payout back to the merchant's list."""
    may_be_deleted = source in states.DELETABLE and target in states.LISTED
    # The lock keeps a deletion at the same moment from being cleared without the remark.
    deleted = Payout.objects.select_for_update().filter(pk=payout_id, deleted_at__isnull=False)
    if not may_be_deleted or deleted.first() is None:
        return reason
    return f"{reason[: limits.MESSAGE_LENGTH_MAX - len(LISTED_AGAIN)]}{LISTED_AGAIN}"


#: A CTE that inserts the first row of history if the CTE `claimed` has a row.
CREATION: Final = """history AS (
    INSERT INTO payouts_payouttransition (payout_id, from_status, to_status, actor, reason, created_at)
    SELECT %(payout_id)s, '', %(created_status)s, %(created_actor)s, 'created', %(payout_created_at)s FROM claimed
)"""


def parameters_of_creation(payout: Payout, actor: str) -> dict[str, Any]:
    """Return the parameters of CREATION that are not the payout's own."""
    return {"created_status": payout.status, "created_actor": actor}


def log_creation(payout: Payout) -> None:
    """Log after the commit that the payout was created."""
    _log_after_commit(payout.pk, from_status="", to_status=payout.status, reason="created")


def record(payout_id: uuid.UUID, *, from_status: str, to_status: str, actor: str, reason: str) -> None:
    """Append a row to the history of a payout whose status the caller's transaction has just written."""
    PayoutTransition.objects.create(
        payout_id=payout_id,
        from_status=from_status,
        to_status=to_status,
        actor=actor,
        reason=reason[: limits.MESSAGE_LENGTH_MAX],
    )
    _log_after_commit(payout_id, from_status=from_status, to_status=to_status, reason=reason)


def _log_after_commit(payout_id: uuid.UUID, **change: str) -> None:
    extra = {"payout_id": str(payout_id), **change}
    transaction.on_commit(lambda: logger.info("payout.moved", extra=extra))
