"""How old is what the replica shows? One look at it, and what the looks before have taught."""

from __future__ import annotations

import math
import time
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections

from postgres.replica import monitor
from postgres.replica.monitor import Health

PRIMARY: Final = DEFAULT_DB_ALIAS
REPLICA: Final = "replica"

NOT_A_REPLICA: Final = Health(usable=False, reason="not_a_replica")

#: Between the two looks at a replica that seems to lag.
REMEASURE_AFTER_SECONDS: Final = 0.1
#: Half an hour of looks. What is further behind is dated by the last transaction that was replayed.
POSITIONS_MAX: Final = 900

_PRIMARY_SQL: Final = """
SELECT system_identifier, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,
    EXTRACT(EPOCH FROM clock_timestamp())::float8
FROM pg_control_system()
"""
_REPLICA_SQL: Final = """
SELECT system_identifier, COALESCE(pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0'), 0)::bigint, pg_is_in_recovery(),
    EXTRACT(EPOCH FROM pg_last_xact_replay_timestamp())::float8
FROM pg_control_system()
"""


class PrimaryPosition(NamedTuple):
    """What the primary says of itself."""

    #: Of the cluster, and of all copies of it.
    system: int
    #: How far its log goes, in bytes.
    position: int
    clock: float


class ReplicaPosition(NamedTuple):
    """What the replica says of itself."""

    system: int
    #: How far it has replayed the log, in bytes.
    position: int
    in_recovery: bool
    #: When the last transaction that it has replayed was committed, by the primary's clock; None: it replayed none yet.
    committed_at: float | None


class MeasurementFailed(Exception):
    """One of the two servers gave no answer."""

    def __init__(self, alias: str, error: Exception) -> None:
        super().__init__(str(error))
        unmeasured = Health(usable=False, reason="unmeasured", error=monitor.sentence(error))
        self.health = monitor.unreachable(error) if alias == REPLICA else unmeasured


class Positions:
    """When the primary was where in its log, by our clock: that dates what a replica shows.

    The time of the last transaction that it has replayed alone would date it an hour back whenever the first one for an
    hour is on its way. And one that has replayed all it has received may be receiving nothing any more.
    """

    def __init__(self) -> None:
        self._seen_at: dict[int, float] = {}

    def note(self, position: int, *, at: float) -> None:
        """Remember that the primary was here at this time."""
        # It goes back only if another server has become the primary; then what was noted beyond it is void.
        before = [(noted, noted_at) for noted, noted_at in self._seen_at.items() if noted < position]
        self._seen_at = dict([*before, (position, at)][-POSITIONS_MAX:])

    def lag_seconds(self, replayed: int, *, transaction_age: float | None, at: float) -> float:
        """Return how old the state is, at most, that a replica shows which has replayed the log up to here.

        `transaction_age` is that of the last transaction that it has replayed; None: it has replayed none.
        """
        if replayed >= max(self._seen_at):
            return 0.0
        ages = [at - seen_at for noted, seen_at in self._seen_at.items() if noted <= replayed]
        if transaction_age is not None:
            ages.append(max(0.0, transaction_age))
        return min(ages, default=math.inf)


class LagProbe:
    """Asks the primary where it is, and then the replica how far it has come."""

    def __init__(self) -> None:
        self._positions = Positions()
        self._was_usable = False

    def measure(self) -> Health:
        """Look, and once more if it seems to lag: what was on its way may have arrived."""
        # One that was too far behind comes back when it is well below the limit, not for a moment at a time.
        lag_max = settings.REPLICA_LAG_MAX_SECONDS / (1 if self._was_usable else 2)
        health = self._measure_once(lag_max)
        if health.reason == "lagging":
            time.sleep(REMEASURE_AFTER_SECONDS)
            health = self._measure_once(lag_max)
        self._was_usable = health.usable
        return health

    def _measure_once(self, lag_max: float) -> Health:
        try:
            primary = self._ask_primary()
            replica = ReplicaPosition._make(_row(REPLICA, _REPLICA_SQL))
            if replica.position > primary.position:
                # More was written meanwhile. Or it has what the primary never wrote, being a copy of an earlier one.
                primary = self._ask_primary()
        except MeasurementFailed as failed:
            return failed.health
        return self._judge(primary, replica, lag_max) if is_replica(replica, of=primary) else NOT_A_REPLICA

    def _ask_primary(self) -> PrimaryPosition:
        primary = PrimaryPosition._make(_row(PRIMARY, _PRIMARY_SQL))
        self._positions.note(primary.position, at=time.monotonic())
        return primary

    def _judge(self, primary: PrimaryPosition, replica: ReplicaPosition, lag_max: float) -> Health:
        age = None if replica.committed_at is None else primary.clock - replica.committed_at
        lag = self._positions.lag_seconds(replica.position, transaction_age=age, at=time.monotonic())
        known = lag if math.isfinite(lag) else None
        return Health(usable=lag <= lag_max, reason="" if lag <= lag_max else "lagging", lag_seconds=known)


def is_replica(replica: ReplicaPosition, *, of: PrimaryPosition) -> bool:
    """Say whether it follows this primary. One that was promoted, or follows another, would show the same for ever."""
    return replica.in_recovery and replica.system == of.system and replica.position <= of.position


def _row(alias: str, sql: str) -> Any:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        connections[alias].close()
        raise MeasurementFailed(alias, error) from error
