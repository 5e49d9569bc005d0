"""Read what is there when the storm is over, and how far the platform has come to rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import class_row, dict_row

from tests.storm.limits import WINDOW_SECONDS
from tests.storm.observed import (
    UUID_LENGTH,
    Attempt,
    Callback,
    Lie,
    Notice,
    Observed,
    Pause,
    Payout,
    Record,
    Refusal,
    Transfer,
    Transition,
)
from tests.storm.told import Told

Row = TypeVar("Row")

_QUERIES: Final = {
    Payout: """
        SELECT payout.id::text, merchant.name AS merchant, mode, status, amount, currency,
               recipient_details ->> 'account' AS account, idempotency_key, attempts_count,
               lease_token IS NOT NULL OR lease_expires_at IS NOT NULL AS is_leased,
               due_at IS NOT NULL AS is_due, contradicted_at IS NOT NULL AS is_contradicted,
               failure_code, reference_number,
               extract(epoch FROM now() - first_sent_at)::float8 AS first_sent_seconds_ago,
               deleted_at IS NOT NULL AS is_deleted, extract(epoch FROM payout.created_at)::float8 AS created_at
        FROM payouts_payout AS payout JOIN accounts_merchant AS merchant ON merchant.id = merchant_id
        ORDER BY payout.id
    """,
    Transition: """
        SELECT payout_id::text, from_status, to_status, reason FROM payouts_payouttransition ORDER BY id
    """,
    Attempt: """
        SELECT payout_id::text, number, kind, outcome, code, reference_number,
               extract(epoch FROM started_at)::float8 AS started_at
        FROM payouts_payoutattempt ORDER BY payout_id, number
    """,
    Record: """
        SELECT merchant.name AS merchant, key, resource_id::text
        FROM idempotency_idempotencyrecord AS record JOIN accounts_merchant AS merchant ON merchant.id = merchant_id
    """,
    Pause: """
        SELECT COALESCE(merchant.name, '') AS merchant, provider,
               extract(epoch FROM pause.created_at)::float8 AS began_at,
               extract(epoch FROM ended_at)::float8 AS ended_at
        FROM payouts_pause AS pause LEFT JOIN accounts_merchant AS merchant ON merchant.id = merchant_id
        WHERE ended_at IS NOT NULL
    """,
    Callback: """
        SELECT event_id, applied_at IS NOT NULL AS is_applied, result FROM payouts_providercallback
    """,
}

_IDS: Final = "SELECT COALESCE(own_reference, id)::text, id::text FROM payouts_payout"

# Not settled. What is unknown for longer than it may be sent again is compared with the bank's book. What is paid is
# asked about for a while: the money may come back.
_OPEN: Final = f"""
    (status IN ('pending', 'processing', 'submitted') OR lease_token IS NOT NULL
     OR (status = 'paid' AND mode = 'live' AND due_at IS NOT NULL)
     OR (status = 'unknown' AND first_sent_at > now() - interval '{WINDOW_SECONDS} seconds'))
"""

# Cheap enough to be asked again and again while the platform comes to rest.
_UNSETTLED: Final = f"""
    SELECT (SELECT count(*) FROM payouts_payout WHERE {_OPEN})
         + (SELECT count(*) FROM payouts_providercallback WHERE applied_at IS NULL)
"""


_FINAL_BY: Final = """
    SELECT count(DISTINCT payout_id) FROM payouts_payouttransition
    WHERE to_status IN ('paid', 'failed', 'canceled', 'requires_attention') AND created_at <= to_timestamp(%s)
"""

_LATECOMERS: Final = f"""
    SELECT to_char(now(), 'HH24:MI:SS') AS seen_at, id, status, attempts_count,
           to_char(created_at, 'HH24:MI:SS') AS created_at, to_char(updated_at, 'HH24:MI:SS') AS updated_at,
           to_char(due_at, 'HH24:MI:SS') AS due_at,
           to_char(lease_expires_at, 'HH24:MI:SS') AS lease_expires_at
    FROM payouts_payout WHERE {_OPEN} ORDER BY created_at LIMIT 3
"""


def count_unsettled(database: str) -> int:
    """Return how many payouts are not final or are leased, and how many callbacks are not applied."""
    with psycopg.connect(database) as connection:
        row = connection.execute(_UNSETTLED).fetchone()
    assert row is not None
    return int(row[0])


def count_final_by(database: str, moment: float) -> int:
    """Return how many payouts were final at this moment, by the clock that the database shares with us."""
    with psycopg.connect(database) as connection:
        row = connection.execute(_FINAL_BY, [moment]).fetchone()
    assert row is not None
    return int(row[0])


def latecomers(database: str) -> list[str]:
    """Return some of the payouts that are not final, with all that the platform wrote down about when to go on."""
    with psycopg.connect(database) as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_LATECOMERS).fetchall()
    return [", ".join(f"{name} {value}" for name, value in row.items() if value is not None) for row in rows]


def read(
    database: str,
    *,
    book: Mapping[str, Any],
    audit: Mapping[str, Any],
    told: Sequence[Told],
    harness: Sequence[str],
    broken: Sequence[tuple[float, float]] = (),
) -> Observed:
    """Read all of it, in one snapshot of the database. `broken` are the times in which no call came through whole."""
    with psycopg.connect(database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        ids: dict[str, str] = dict(connection.execute(_IDS).fetchall())
        return Observed(
            told=told,
            payouts=_read(connection, Payout),
            transitions=_read(connection, Transition),
            attempts=_read(connection, Attempt),
            records=_read(connection, Record),
            callbacks=_read(connection, Callback),
            pauses=_read(connection, Pause),
            transfers=[_transfer(line, ids) for line in book["transfers"]],
            refusals=[
                Refusal(_by_id(line["reference"], ids), line["code"], line["requests"]) for line in book["refusals"]
            ],
            notices=[
                Notice(line["id"], _by_id(line["reference"], ids), line["status"], line["taken"])
                for line in audit["callbacks"]
            ],
            lies=[Lie(_by_id(line["reference"], ids), line["kind"]) for line in audit["lies"]],
            calls_at_once=_outside(broken, {line["second"]: line["calls"] for line in audit["calls_at_once"]}),
            executions_count=book["executions"],
            harness=harness,
        )


def _read(connection: psycopg.Connection[Any], kind: type[Row]) -> list[Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(_QUERIES[kind]).fetchall()


def _by_id(reference: str, ids: Mapping[str, str]) -> str:
    """Return the reference with the payout's id for its UUID. One that we never gave stays as it is."""
    return ids.get(reference[:UUID_LENGTH], reference[:UUID_LENGTH]) + reference[UUID_LENGTH:]


def _transfer(line: Mapping[str, Any], ids: Mapping[str, str]) -> Transfer:
    return Transfer(
        reference=_by_id(line["reference"], ids),
        amount=Decimal(line["amount"]),
        currency=line["currency"],
        status=line["status"],
        executions=line["executions"],
        requests=line["requests"],
        code=line["code"],
    )


def _outside(broken: Sequence[tuple[float, float]], seconds: Mapping[int, int]) -> dict[int, int]:
    """Return the seconds that touch none of these times. What was held up on the way arrives later, all at once."""
    return {
        second: calls
        for second, calls in seconds.items()
        if not any(began - 1 <= second <= ended + 1 for began, ended in broken)
    }
