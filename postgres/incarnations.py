"""Which life of which cluster a PostgreSQL server is. It changes if the server may have lost commits."""

from __future__ import annotations

from typing import Final, NamedTuple

from django.db import connection

# The timeline is that of the log that is written now. pg_control_checkpoint() has the one of the last checkpoint,
# which may be minutes behind a promotion. On a standby there is no log to write, so the answer is empty.
_SQL: Final = """
SELECT system_identifier::text, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint
FROM pg_control_system() WHERE NOT pg_is_in_recovery()
"""


class Incarnation(NamedTuple):
    #: Made by initdb, and shared by a cluster and its physical copies. A restored dump has another one.
    system_identifier: str
    #: A promoted standby and a restore to a point in time begin a new one.
    timeline: int


def read() -> Incarnation | None:
    """Return the incarnation of the primary. None: this is a standby, and writes fail anyway."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL)
        row = cursor.fetchone()
    return Incarnation(*row) if row is not None else None


class Durability(NamedTuple):
    """What the server does for a commit before it confirms it."""

    fsync: bool
    synchronous_commit: str
    #: Names of the standbys that a commit waits for; empty: none.
    synchronous_standby_names: str
    #: Connected standbys, without copies under way.
    standbys_count: int


_DURABILITY_SQL: Final = """
SELECT current_setting('fsync')::boolean, current_setting('synchronous_commit'),
    current_setting('synchronous_standby_names'),
    (SELECT count(*) FROM pg_stat_replication WHERE state IS DISTINCT FROM 'backup')
"""


def read_durability() -> Durability:
    """Return what the primary does for a commit."""
    with connection.cursor() as cursor:
        cursor.execute(_DURABILITY_SQL)
        return Durability(*cursor.fetchone())
