"""How many payouts wait in the lanes, and how many are held: the figures of dashboards and alarms.

What is held is told by its lane, so the cost depends on the number of lanes and not on the number of payouts in them.
Counts are exact up to a bound, where they stop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import connection

from payouts.engine import lanes
from payouts.states import AttemptKind


@dataclass(frozen=True)
class Figures:
    """Due payouts; the counts stop at the bound of `read`."""

    #: Payouts that nothing holds back, and the age of the longest due in seconds.
    free: int
    overdue_seconds: float
    #: Payouts to send that a pause or an open circuit holds back.
    held: int


#: Every lane with the time at which its first payout is due. Questions are never held.
_LANES: Final = f"""
    WITH RECURSIVE {lanes.scan_of_all(AttemptKind.SEND)}, {lanes.scan_of_all(AttemptKind.ASK)},
    lane AS MATERIALIZED (
        SELECT 'send' AS kind, lane.*, NOT ({lanes.unless_held("lane.merchant_id", of="lane")}) OR EXISTS (
            SELECT FROM payouts_providercircuit AS circuit
            WHERE circuit.provider = lane.provider AND circuit.retry_at > statement_timestamp()
        ) AS is_held
        FROM sends AS lane WHERE due_at <= statement_timestamp()
        UNION ALL
        SELECT 'ask' AS kind, lane.*, false FROM asks AS lane WHERE due_at <= statement_timestamp()
    )"""

#: Payouts whose worker died: they are due, and in no lane until the sweeper has found them.
_EXPIRED: Final = "status = 'processing' AND lease_expires_at <= statement_timestamp()"


def _count(lanes_of: str, *, others: str = "") -> str:
    parts = [
        f"""SELECT FROM lane CROSS JOIN LATERAL (
            SELECT FROM payouts_payout
            WHERE {lanes.due_in_lane(kind, of="lane")} AND merchant_id = lane.merchant_id LIMIT %(at_most)s
        ) AS payout WHERE lane.kind = '{kind.value}' AND {lanes_of}"""
        for kind in (AttemptKind.SEND, AttemptKind.ASK)
    ]
    rows = " UNION ALL ".join([*parts, *([f"SELECT FROM payouts_payout WHERE {others}"] if others else [])])
    return f"(SELECT count(*) FROM (SELECT FROM ({rows}) AS every_row LIMIT %(at_most)s) AS counted)"


_STATEMENT: Final = f"""{_LANES}
    SELECT {_count("NOT lane.is_held", others=_EXPIRED)}, {_count("lane.is_held")},
        EXTRACT(EPOCH FROM statement_timestamp() - LEAST(
            (SELECT min(due_at) FROM lane WHERE NOT is_held),
            (SELECT min(due_at) FROM payouts_payout WHERE {_EXPIRED})
        ))"""


def read(*, at_most: int) -> Figures:
    """Return the figures. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(_STATEMENT, {"at_most": at_most})
        free, held, overdue_seconds = cursor.fetchone()
    return Figures(free=free, held=held, overdue_seconds=float(overdue_seconds or 0))
