"""The standby of a running stack, as a test breaks it: it stops replaying, it dies, it freezes, it comes back."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from devstack.processes import identity
from tests.chaos.crashing_servers import wait_until
from tests.support.stack import Stack


class Standby:
    def __init__(self, stack: Stack) -> None:
        self._pid = stack.pid("replica")
        self._settings: dict[str, str] = stack.description["environment"]
        self._again: subprocess.Popen[bytes] | None = None
        # The command says where it listens; all that a restart on the same port needs.
        process = Path("/proc", str(self._pid))
        self._command = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        self._environment = dict(
            line.split(b"=", 1) for line in (process / "environ").read_bytes().split(b"\0") if line
        )
        self._directory = (process / "cwd").readlink()
        self._owner = self._directory.stat()

    @property
    def port(self) -> str:
        return self._settings["PAYOUTS_REPLICA_PORT"]

    def query(self, sql: str) -> Any:
        """Return the only value that a statement on the standby selects."""
        settings = self._settings
        with psycopg.connect(
            host=settings["PAYOUTS_REPLICA_HOST"],
            port=settings["PAYOUTS_REPLICA_PORT"],
            dbname=settings["POSTGRES_DB"],
            user=settings["POSTGRES_USER"],
            password=settings["POSTGRES_PASSWORD"],
        ) as connection:
            row = connection.execute(sql).fetchone()
        assert row is not None
        return row[0]

    @contextmanager
    def replaying_nothing(self) -> Iterator[None]:
        """Let it receive what the primary writes, and show none of it."""
        with stopped([pid for pid, title in self._processes() if "startup" in title]):
            yield

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it say nothing at all, while its machine says that all is well."""
        with stopped([self._pid, *(pid for pid, _ in self._processes())]):
            yield

    def kill(self) -> None:
        """End it as the power would."""
        everything = [(pid, identity.started_at(pid)) for pid, _ in self._processes()]
        os.kill(self._pid, signal.SIGKILL)
        gone = lambda: not any(identity.is_alive(pid, started=started) for pid, started in everything)  # noqa: E731
        wait_until(gone, what="no process of the standby is left")

    def promote(self) -> None:
        """Make a primary of it, as pg_ctl does."""
        (self._directory / "promote").touch()
        os.kill(self._pid, signal.SIGUSR1)

    def follow_nothing(self) -> None:
        """Cut it off from the primary while it is down: it lacks what comes from now on."""
        self._set("primary_conninfo = ''")

    def become_a_backup(self) -> None:
        """Have it start as a base backup that is restored: it replays the log that it has, and then is a primary."""
        self._set("primary_conninfo = ''", "restore_command = 'false'")
        (self._directory / "standby.signal").rename(self._directory / "recovery.signal")

    def _set(self, *lines: str) -> None:
        with (self._directory / "postgresql.auto.conf").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def start_again(self) -> None:
        is_other = self._owner.st_uid != os.geteuid()
        user: dict[str, Any] = {"user": self._owner.st_uid, "group": self._owner.st_gid, "extra_groups": []}
        # A killed process has left its lock behind.
        (self._directory / "postmaster.pid").unlink(missing_ok=True)
        self._again = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **(user if is_other else {}),
        )
        self._pid = self._again.pid

    def destroy(self) -> None:
        """End what a test has started again; the first one is the stack's."""
        if self._again is not None:
            with contextlib.suppress(ProcessLookupError):
                self._again.send_signal(signal.SIGQUIT)
            self._again.wait(10)

    def _processes(self) -> list[tuple[int, str]]:
        shown = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self._pid)], capture_output=True, text=True, check=False
        )
        return [(int(line.split()[0]), line) for line in shown.stdout.splitlines()]


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    assert pids != []
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
