"""A standby of the private PostgreSQL, which follows it by streaming replication."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from devstack.processes import children, ports, stopping
from devstack.servers import postgres

ROLE = "payouts_replication"
_AUTHENTICATION = f"host replication {ROLE} {ports.LOOPBACK}/32 scram-sha-256\n"
# Otherwise a vacuum on the primary would cancel long reads on the standby.
_SETTINGS = {"hot_standby_feedback": "on"}


class Standby:
    """A copy of a cluster and the server that keeps it up to date."""

    def __init__(self, installation: postgres.Installation, *, directory: Path, password: str) -> None:
        self._installation = installation
        self._directory = directory
        self._password = password

    def allow(self) -> None:
        """Allow replication from the next start of the cluster on. Does nothing if it is allowed already."""
        authentication = self._installation.cluster / "pg_hba.conf"
        if _AUTHENTICATION in authentication.read_text(encoding="ascii"):
            return
        postgres.end_predecessor(self._installation.cluster)
        self._installation.execute(_role(self._password), cluster=self._installation.cluster)
        with authentication.open("a", encoding="ascii") as file:
            file.write(_AUTHENTICATION)

    def copy(self, primary: postgres.Postgres) -> None:
        """Copy the running cluster. Done at each start, so that the copy is never too far behind to follow."""
        postgres.end_predecessor(self._directory)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._installation.make_directory(self._directory)
        # -R writes the settings of a standby. The password is in the environment, which other users cannot read.
        connection = ["-h", ports.LOOPBACK, "-p", str(primary.port), "-U", ROLE]
        self._installation.run(
            "pg_basebackup",
            [*connection, "-R", "--checkpoint=fast", "--no-sync"],
            cluster=self._directory,
            environment={"PGPASSWORD": self._password},
        )

    def start(self, *, password: str) -> tuple[postgres.Postgres, children.Child]:
        """Start the server on a free port; it may not be ready yet. The password is the primary's."""
        server = postgres.Postgres(port=ports.free(), password=password, cluster=self._directory)
        # It ends before the primary, which would wait for it. SIGQUIT skips the checkpoint: its data is not used again.
        child = self._installation.serve(
            server, name="replica", phase=stopping.PHASE_BROKER, stop_signal=signal.SIGQUIT, settings=_SETTINGS
        )
        return server, child


def _role(password: str) -> list[str]:
    missing = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}')"
    return [
        f"DO $$ BEGIN IF {missing} THEN CREATE ROLE {ROLE} LOGIN REPLICATION; END IF; END $$",
        f"ALTER ROLE {ROLE} PASSWORD '{password}'",
    ]
