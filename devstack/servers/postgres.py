"""A private PostgreSQL."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from devstack import errors
from devstack.processes import children, identity, ports, stopping
from devstack.servers import postgres_binaries

ROLE = DATABASE = "payouts"
_START_SECONDS = 60.0
_PREDECESSOR_SECONDS = 10.0

# No superuser can log in. The platform's role may create databases (for tests) and see statistics.
_HOST_BASED_AUTHENTICATION = f"host all {ROLE} {ports.LOOPBACK}/32 scram-sha-256\n"
_INITDB_OPTIONS = (
    "--username=postgres",
    "--auth=reject",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
_SETTINGS = {
    "listen_addresses": ports.LOOPBACK,
    # The path of a socket has at most 107 bytes; that of a state directory may be longer.
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
# For temporary data. Never for `run`.
_SETTINGS_THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum_naptime": "10min",
}


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL that was started."""

    port: int
    password: str
    cluster: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "POSTGRES_HOST": ports.LOOPBACK,
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_DB": DATABASE,
            "POSTGRES_USER": ROLE,
            "POSTGRES_PASSWORD": self.password,
        }

    def is_ready(self) -> bool:
        """Read the state of the server from the eighth line of its lock file, as pg_ctl does."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"


class Installation:
    """PostgreSQL's programs, the user that runs them, and the cluster that they serve."""

    def __init__(
        self, processes: children.Children, *, cluster: Path, durable: bool, register: Callable[[Path], None]
    ) -> None:
        self._processes = processes
        self.cluster = cluster
        self._durable = durable
        self._user = postgres_binaries.user_for(cluster)
        self._programs = postgres_binaries.reachable_by(self._user, postgres_binaries.find(), register=register)

    def create_cluster(self, *, password: str) -> bool:
        """Create the cluster with its role and database if there is none; say whether it was created.

        It is created under another name and renamed at the end, so that an interrupted start leaves no partial cluster.
        """
        if self.cluster.exists():
            self._check_owner()
            return False
        fresh = self.cluster.with_name(f"{self.cluster.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        self.make_directory(fresh)
        sync = [] if self._durable else ["--no-sync"]
        self.run("initdb", [*_INITDB_OPTIONS, *sync], cluster=fresh)
        (fresh / "pg_hba.conf").write_text(_HOST_BASED_AUTHENTICATION, encoding="ascii")
        self.execute(_role_and_database(password), cluster=fresh)
        fresh.rename(self.cluster)
        return True

    def make_directory(self, path: Path) -> None:
        """Make a directory for a cluster, with access for the server's user alone."""
        path.mkdir(mode=0o700)
        if self._user:
            os.chown(path, self._user.uid, self._user.gid)

    def execute(self, statements: Sequence[str], *, cluster: Path) -> None:
        """Execute one-line statements as the superuser, in a cluster without a running server."""
        # Without exit_on_error, a statement that fails is only a line in the log.
        single_user = ["--single", *_options({"exit_on_error": "on"}), "postgres"]
        # On standard input, because all users of this machine can read a command line.
        stdin = "".join(f"{statement}\n" for statement in statements).encode("ascii")
        self.run("postgres", single_user, cluster=cluster, stdin=stdin)

    def start(self, *, password: str) -> tuple[Postgres, children.Child]:
        """Start the server on a free port; it may not be ready yet."""
        end_predecessor(self.cluster)
        server = Postgres(port=ports.free(), password=password, cluster=self.cluster)
        # SIGINT is a "fast" shutdown: it ends the sessions and writes a checkpoint, so the next start replays nothing.
        child = self.serve(server, name="postgres", phase=stopping.PHASE_DATABASE, stop_signal=signal.SIGINT)
        return server, child

    def serve(
        self,
        server: Postgres,
        *,
        name: str,
        phase: int,
        stop_signal: int,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> children.Child:
        """Start a server on its cluster and port."""
        throwaway = {} if self._durable else _SETTINGS_THROWAWAY
        options = _options({**_SETTINGS, "port": str(server.port), **throwaway, **settings})
        program = children.Program(
            name=name,
            command=[str(self._programs / "postgres"), "-D", self._data_directory(server.cluster), *options],
            environment=_environment(),
            phase=phase,
            stop_signal=stop_signal,
            address=f"{ports.LOOPBACK}:{server.port}",
            directory=server.cluster,
            user=self._user,
        )
        return self._processes.start(program)

    def run(
        self,
        program: str,
        options: list[str],
        *,
        cluster: Path,
        stdin: bytes | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Run one of PostgreSQL's programs on a cluster to its end."""
        # `postgres` needs --single as its first option.
        first, rest = (options[:1], options[1:]) if program == "postgres" else ([], options)
        data = ["-D", self._data_directory(cluster)]
        self._processes.run(
            children.Program(
                name="initdb" if program == "postgres" else program,
                command=[str(self._programs / program), *first, *data, *rest],
                environment={**_environment(), **environment},
                directory=cluster,
                user=self._user,
                stdin=stdin,
            )
        )

    def _data_directory(self, cluster: Path) -> str:
        """Name the cluster so that the server can reach it.

        The server's user may lack access to the directories above (a home is often closed). We are in the cluster
        before we drop root's rights, and this name needs none of those directories.
        """
        return "/proc/self/cwd" if self._user and sys.platform == "linux" else str(cluster)

    def _check_owner(self) -> None:
        owner = self.cluster.stat().st_uid
        if self._user is None and owner != os.geteuid():
            raise errors.StackError(
                f"The database in {self.cluster} belongs to another user (uid {owner}). "
                "Run as that user or as root, or choose another place: PAYOUTS_STATE_DIR=DIRECTORY."
            )


def _options(settings: dict[str, str]) -> list[str]:
    return [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]


def _role_and_database(password: str) -> list[str]:
    return [
        f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{password}'",
        # To see the open transactions of every role (docs/operations.md).
        f"GRANT pg_read_all_stats TO {ROLE}",
        f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
    ]


def _environment() -> dict[str, str]:
    """Return the environment without PGDATA, PGPORT and other settings of another server."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))},
        "LC_ALL": "C",
    }


def end_predecessor(cluster: Path) -> None:
    """End the server that a killed launcher left on this data, and remove a stale lock file.

    PostgreSQL refuses to start if the pid in the lock file belongs to any running process. After a restart of the
    machine, or in a container, that is often an unrelated one. We hold the lock of the state directory, so a server on
    this data can only be that of a killed launcher.
    """
    lock_file = cluster / "postmaster.pid"
    try:
        pid = int(lock_file.read_text(encoding="utf-8").splitlines()[0])
    except (OSError, ValueError, IndexError):
        pid = 0
    if pid > 0 and identity.runs_in(pid, cluster):
        _end(pid, cluster)
    lock_file.unlink(missing_ok=True)


def _end(pid: int, cluster: Path) -> None:
    """Fast shutdown, then immediate: the latter costs a replay of the log, not data."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        deadline = time.monotonic() + _PREDECESSOR_SECONDS
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        while identity.runs_in(pid, cluster):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return
    raise errors.StackError(f"A PostgreSQL (pid {pid}) still uses {cluster} and does not end. Stop it and try again.")
