"""The database of a storm: a primary, and a standby that takes over from it.

Each commit waits until the standby has it, so a promotion loses nothing that was acknowledged. (What an asynchronous
standby loses, tests/chaos/test_failover.py shows.)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from typing import Final

import psycopg

from devstack.processes import ports, stopping
from devstack.processes.children import Child
from devstack.processes.launcher import Launcher
from devstack.servers import postgres, replica
from devstack.servers.postgres import Postgres
from tests.storm.supervisor import Supervisor

PRIMARY: Final = "postgres"
STANDBY: Final = "standby"
_OF_PRIMARY: Final = {"synchronous_standby_names": "*"}
#: It looks for its primary often: no commit is done while the primary is alone.
_OF_STANDBY: Final = {"hot_standby_feedback": "on", "wal_retrieve_retry_interval": "200ms"}
_FOLLOWED: Final = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"


class Clusters:
    """`server` is the primary."""

    def __init__(self, launch: Launcher, *, supervisor: Supervisor, password: str, replication_password: str) -> None:
        self._launch = launch
        self._supervisor = supervisor
        self._password = password
        cluster = launch.state.path / "postgres"
        # It keeps everything: its server is killed, and what it acknowledged must be there afterwards.
        self._installation = postgres.Installation(
            launch.children, cluster=cluster, durable=True, register=launch.remove_at_end
        )
        self._copy = launch.state.path / "standby"
        self._standby = replica.Standby(self._installation, directory=self._copy, password=replication_password)
        self.server = Postgres(port=ports.free(), password=password, cluster=cluster)

    def start(self) -> None:
        """Start both; neither may be ready yet."""
        self._installation.create_cluster(password=self._password)
        self._standby.allow()
        self._keep(self._serve(self.server, name=PRIMARY, settings=_OF_PRIMARY), self.server)
        self._launch.children.wait_for(self.server.is_ready, what="PostgreSQL", seconds=60.0)
        self._launch.remove_at_end(self._copy)
        self._standby.copy(self.server)
        self._second = Postgres(port=ports.free(), password=self._password, cluster=self._copy)
        self._keep(self._serve(self._second, name=STANDBY, settings=_OF_STANDBY), self._second)

    def is_followed(self) -> bool:
        """Tell whether the standby has all that the primary has acknowledged."""
        try:
            with psycopg.connect(address_of(self.server)) as connection:
                row = connection.execute(_FOLLOWED).fetchone()
        except psycopg.Error:
            return False
        return row is not None and row[0] == 1

    def promote(self) -> None:
        """End the primary for good, and make one of the standby, as pg_ctl does."""
        child = self._supervisor.take_over(PRIMARY, by=STANDBY)
        (self._copy / "promote").touch()
        os.kill(child.pid, signal.SIGUSR1)
        self.server = self._second

    def _serve(self, server: Postgres, *, name: str, settings: Mapping[str, str]) -> Child:
        return self._installation.serve(
            server, name=name, phase=stopping.PHASE_DATABASE, stop_signal=signal.SIGQUIT, settings=settings
        )

    def _keep(self, child: Child, server: Postgres) -> None:
        self._supervisor.adopt(child, before_start=lambda: postgres.end_predecessor(server.cluster))


def address_of(server: Postgres) -> str:
    """Return how to reach the server directly, past all faults of the network."""
    return (
        f"host={ports.LOOPBACK} port={server.port} dbname={postgres.DATABASE} user={postgres.ROLE} "
        f"password={server.password} connect_timeout=2 application_name=storm"
    )
