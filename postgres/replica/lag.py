"""The lag of the replica, from one measurement and the positions of earlier ones."""

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

#: Pause before a second measurement of a lag.
REMEASURE_AFTER_SECONDS: Final = 0.1
#: Half an hour of measurements. An older replica is dated by its last replayed transaction.
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
    """The primary's answer."""

    #: Shared by a cluster and its copies.
    system: int
    #: End of its log in bytes.
    position: int
    clock: float


class ReplicaPosition(NamedTuple):
    """The replica's answer."""

    system: int
    #: End of the replayed log in bytes.
    position: int
    in_recovery: bool
    #: Commit time of the last replayed transaction, by the primary's clock. None: no transaction yet.
    committed_at: float | None


class MeasurementFailed(Exception):
    """A server did not answer."""

    def __init__(self, alias: str, error: Exception) -> None:
        super().__init__(str(error))
        unmeasured = Health(usable=False, reason="unmeasured", error=monitor.sentence(error))
        self.health = monitor.unreachable(error) if alias == REPLICA else unmeasured


class Positions:
    """Positions of the primary with times by our clock, which date a replica.

    The last replayed transaction alone is not enough: after an hour without writes it makes the replica an hour old as
    soon as a new one is on its way. And a replica that has replayed all it received may receive nothing any more.
    """

    def __init__(self) -> None:
        self._seen_at: dict[int, float] = {}

    def note(self, position: int, *, at: float) -> None:
        """Record the primary's position at this time."""
        # The position goes back only after a failover. Then later positions are void.
        before = [(noted, noted_at) for noted, noted_at in self._seen_at.items() if noted < position]
        self._seen_at = dict([*before, (position, at)][-POSITIONS_MAX:])

    def lag_seconds(self, replayed: int, *, transaction_age: float | None, at: float) -> float:
        """Return the maximum age of a replica that has replayed the log up to this position.

        `transaction_age` is that of the last replayed transaction. None: no transaction yet.
        """
        if replayed >= max(self._seen_at):
            return 0.0
        ages = [at - seen_at for noted, seen_at in self._seen_at.items() if noted <= replayed]
        if transaction_age is not None:
            ages.append(max(0.0, transaction_age))
        return min(ages, default=math.inf)


class LagProbe:
    """Compares the position of the primary with that of the replica."""

    def __init__(self) -> None:
        self._positions = Positions()
        self._was_usable = False

    def measure(self) -> Health:
        """Measure, and again after a lag: the missing log may have arrived."""
        # Hysteresis: a replica that lagged comes back at half of the limit.
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
                # The primary has moved on since. Or the replica follows another server, and is ahead of this one.
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
    """Return whether the replica follows this primary. A promoted or foreign server would show stale data."""
    return replica.in_recovery and replica.system == of.system and replica.position <= of.position


def _row(alias: str, sql: str) -> Any:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()
    except (DatabaseError, InterfaceError) as error:
        connections[alias].close()
        raise MeasurementFailed(alias, error) from error
