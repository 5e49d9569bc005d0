"""Which due payouts are claimed next. A lane is the queue of one merchant, in one mode, at one provider.

Claims go round the lanes that have something due, beginning behind the lane that was served last, and take a few
payouts from each, the longest due first. So a merchant with a million waiting payouts costs another merchant one place
in the round. A lane that is held, by a pause or by its circuit, is left out as a whole: its payouts are not read.

The lanes are found by a loose index scan (https://wiki.postgresql.org/wiki/Loose_indexscan): one look into the index
`payout_lane_of_sends` or `payout_lane_of_asks` for each lane, however many payouts it has.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import connection

from accounts.models import Mode
from payouts.providers import registry
from payouts.states import ASKABLE, AttemptKind, PayoutStatus

#: The conditions of the two indexes, word for word.
_SENDS: Final = f"status = '{PayoutStatus.PENDING.value}' AND contradicted_at IS NULL"
_ASKS: Final = f"status IN {tuple(status.value for status in ASKABLE)} AND due_at IS NOT NULL"
_WAITS: Final = {AttemptKind.SEND: _SENDS, AttemptKind.ASK: _ASKS}

#: What is past the merchant's expires_at is not sent any more, unless it may have been before. The sweeper gives it up
#: (payouts/engine/deadlines.py).
_IN_TIME: Final = "(expires_at IS NULL OR expires_at > statement_timestamp() OR first_sent_at IS NOT NULL)"

# No merchant has this id.
BEFORE_ALL: Final = uuid.UUID(int=0)


@dataclass(frozen=True)
class Group:
    """All lanes of one kind of call, at one provider, in one mode."""

    kind: AttemptKind
    provider: str
    mode: str

    @property
    def order(self) -> tuple[bool, bool]:
        """Live before test, and sends before questions."""
        return self.mode != Mode.LIVE, self.kind != AttemptKind.SEND


def waiting_groups() -> list[Group]:
    """Return the groups with payouts, due now or later, in the order in which to serve them. One statement."""
    # During a rollout, another version may have a provider that this one lacks.
    return sorted((group for group in _groups() if group.provider in registry.PROVIDERS), key=lambda group: group.order)


def _groups() -> list[Group]:
    found = " UNION ALL ".join(f"SELECT '{kind.value}', provider, mode FROM {kind.value}s" for kind in _WAITS)
    scans = ", ".join(_scan_of_groups(kind) for kind in _WAITS)
    with connection.cursor() as cursor:
        cursor.execute(f"WITH RECURSIVE {scans} {found}")
        return [Group(AttemptKind(kind), provider, mode) for kind, provider, mode in cursor.fetchall()]


def _scan_of_groups(kind: AttemptKind) -> str:
    name, waits = f"{kind.value}s", _WAITS[kind]
    return f"""
        {name} AS (
            (SELECT provider, mode FROM payouts_payout WHERE {waits} ORDER BY provider, mode LIMIT 1)
            UNION ALL
            SELECT following.provider, following.mode FROM {name} AS last CROSS JOIN LATERAL (
                SELECT provider, mode FROM payouts_payout
                WHERE {waits} AND (provider, mode) > (last.provider, last.mode)
                ORDER BY provider, mode LIMIT 1
            ) AS following
        )"""


def missing_providers() -> list[str]:
    """Return the providers that have payouts, and that this installation does not have."""
    return sorted({group.provider for group in _groups()} - registry.PROVIDERS.keys())


def waits(kind: AttemptKind) -> str:
    """Return the SQL condition for a payout of a group that is due. It takes the parameters `provider` and `mode`."""
    in_time = f" AND {_IN_TIME}" if kind == AttemptKind.SEND else ""
    return (
        f"provider = %(provider)s AND mode = %(mode)s AND {_WAITS[kind]} AND due_at <= statement_timestamp(){in_time}"
    )


def due_in_lane(kind: AttemptKind, *, of: str) -> str:
    """Return the same condition for the columns `provider` and `mode` of this table or alias."""
    return f"provider = {of}.provider AND mode = {of}.mode AND {_WAITS[kind]} AND due_at <= statement_timestamp()"


def scan_of_all(kind: AttemptKind) -> str:
    """Return the CTE `sends` or `asks`: the lanes of all groups, each with the time at which its first is due."""
    name, waits = f"{kind.value}s", _WAITS[kind]
    lane, order = "provider, mode, merchant_id", "provider, mode, merchant_id, due_at"
    return f"""
        {name} AS (
            (SELECT {order} FROM payouts_payout WHERE {waits} ORDER BY {order} LIMIT 1)
            UNION ALL
            SELECT following.* FROM {name} AS last CROSS JOIN LATERAL (
                SELECT {order} FROM payouts_payout
                WHERE {waits} AND ({lane}) > (last.provider, last.mode, last.merchant_id)
                ORDER BY {order} LIMIT 1
            ) AS following
        )"""


def due_ids(group: Group, *, at_most: int, since: timedelta, left_out: uuid.UUID | None = None) -> list[uuid.UUID]:
    """Return payouts of the group that have been due for so long, going round the merchants but `left_out`."""
    statement = f"""
        WITH RECURSIVE {picked(group.kind, places=at_most, lock="")}
        SELECT id FROM picked JOIN payouts_payout USING (id) WHERE due_at <= statement_timestamp() - %(since)s"""
    given: dict[str, Any] = {"provider": group.provider, "mode": group.mode, "after": BEFORE_ALL, "since": since}
    with connection.cursor() as cursor:
        cursor.execute(statement, {**given, "left_out": left_out})
        return [payout_id for (payout_id,) in cursor.fetchall()]


def picked(kind: AttemptKind, *, places: int, lock: str = "FOR UPDATE SKIP LOCKED") -> str:
    """Return the CTEs that end with `picked(id)`: at most `places` due payouts of a group, locked.

    They come in rounds: the longest due of each lane, then the next of each. If the provider takes fewer calls, the
    claim takes the first of them, which are of different merchants.

    They belong into a WITH RECURSIVE, and take the parameters `provider`, `mode`, `left_out`, and `after`, the merchant
    that was served last. `lanes(merchant_id, turn)` has the lanes of this round. What others have locked is passed
    over.
    """
    return f"""
        {_scan_of_lanes(kind, "ahead", behind="%(after)s", until="")},
        {_scan_of_lanes(kind, "around", behind=f"'{BEFORE_ALL}'", until="AND merchant_id <= %(after)s")},
        lanes AS MATERIALIZED (
            SELECT merchant_id, row_number() OVER () AS turn
            FROM (SELECT * FROM ahead UNION ALL SELECT * FROM around) AS lane
            WHERE due_at <= statement_timestamp() {_unless_held(kind)}
            LIMIT {places}
        ),
        picked AS MATERIALIZED (
            SELECT due.id FROM lanes CROSS JOIN LATERAL (
                SELECT id, row_number() OVER () AS round FROM (
                    SELECT id FROM payouts_payout
                    WHERE {waits(kind)} AND merchant_id = lanes.merchant_id
                    ORDER BY due_at
                    LIMIT {_share(kind, places)}
                    {lock}
                ) AS locked
            ) AS due
            ORDER BY due.round, lanes.turn
            LIMIT {places}
        )"""


def _scan_of_lanes(kind: AttemptKind, name: str, *, behind: str, until: str) -> str:
    lane = f"""
        SELECT merchant_id, due_at FROM payouts_payout
        WHERE provider = %(provider)s AND mode = %(mode)s AND {_WAITS[kind]}
            AND merchant_id > {{}} {until}
        ORDER BY merchant_id, due_at LIMIT 1"""
    return f"""
        {name} AS (
            ({lane.format(behind)})
            UNION ALL
            SELECT following.merchant_id, following.due_at
            FROM {name} AS last CROSS JOIN LATERAL ({lane.format("last.merchant_id")}) AS following
        )"""


def _share(kind: AttemptKind, places: int) -> str:
    """Return the number of payouts to take from each lane. A lane that is to be tried gives its trial alone."""
    share = f"(SELECT ({places} + count(*) - 1) / GREATEST(count(*), 1) FROM lanes)"
    if kind != AttemptKind.SEND:
        return share
    return f"CASE WHEN ({_circuit('retry_at', 'lanes.merchant_id')}) IS NULL THEN {share} ELSE 1 END"


def _unless_held(kind: AttemptKind) -> str:
    return f"AND {may_send('lane.merchant_id')}" if kind == AttemptKind.SEND else ""


def may_send(merchant: str) -> str:
    """Return the SQL condition that a send of this merchant may be claimed.

    It takes the parameters `provider` and `mode`, and `left_out`, a merchant that must wait.
    """
    return f"{merchant} IS DISTINCT FROM %(left_out)s::uuid AND {unless_held(merchant)}"


def unless_held(merchant: str, *, of: str | None = None) -> str:
    """Return the SQL condition that neither a pause nor its own circuit holds the lane of this merchant.

    Provider and mode are columns of the table `of`, or else parameters.
    """
    provider, mode = ("%(provider)s", "%(mode)s") if of is None else (f"{of}.provider", f"{of}.mode")
    # Sub-selects of single rows are looked up in indexes, where a join would compare each lane with each row.
    return f"""
        NOT EXISTS (
            SELECT FROM payouts_pause AS pause
            WHERE pause.ended_at IS NULL AND pause.merchant_id IS NULL AND pause.provider IN ('', {provider})
        )
        AND (
            SELECT pause.id FROM payouts_pause AS pause
            WHERE pause.ended_at IS NULL AND pause.merchant_id = {merchant}
        ) IS NULL
        AND COALESCE(({_circuit("retry_at <= statement_timestamp()", merchant, provider, mode)}), true)"""


def _circuit(columns: str, merchant: str, provider: str = "%(provider)s", mode: str = "%(mode)s") -> str:
    return f"""
        SELECT {columns} FROM payouts_lanecircuit AS circuit
        WHERE circuit.provider = {provider} AND circuit.mode = {mode} AND circuit.merchant_id = {merchant}"""
