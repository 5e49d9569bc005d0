"""Keeps processes running: starts again what has died, as systemd or Kubernetes would, and kills and freezes on demand.

Processes are started by the main thread alone (devstack/processes/children.py says why), so `tick` is called from its
loop.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from devstack.processes import children
from devstack.processes.children import Child, Children, Program

#: For a process that ended without being killed by us.
_RESTART_SECONDS = 0.5


@dataclass
class Kept:
    """A process that is kept running, through all its lives."""

    program: Program
    before_start: Callable[[], object]
    child: Child
    lives: int = 1
    #: How long it stays away after the next death; None: the death is not our doing.
    away_seconds: float | None = None
    restart_at: float | None = None


@dataclass
class Ended:
    """A process that ended by itself."""

    name: str
    exit_code: int


@dataclass
class Supervisor:
    children: Children
    seed: int
    ended: list[Ended] = field(default_factory=list)
    _kept: dict[str, Kept] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chance = random.Random(f"victims {self.seed}")

    def start(self, program: Program, *, before_start: Callable[[], object] = lambda: None) -> None:
        """Start a program and keep it running from now on."""
        self.adopt(self.children.start(program), before_start=before_start)

    def adopt(self, child: Child, *, before_start: Callable[[], object] = lambda: None) -> None:
        """Keep running what was started elsewhere."""
        self._kept[child.name] = Kept(program=child.program, before_start=before_start, child=child)

    def take_over(self, name: str, *, by: str) -> Child:
        """End a process for good. Another one is kept under its name from now on, and is returned."""
        kept = self._kept[name]
        _signal_group(kept.child.pid, signal.SIGKILL)
        self.children.discard(kept.child)
        self._kept[name] = self._kept.pop(by)
        return self._kept[name].child

    @property
    def restarts(self) -> int:
        return sum(kept.lives - 1 for kept in self._kept.values())

    @property
    def is_whole(self) -> bool:
        """Whether every process is there."""
        return all(kept.restart_at is None and kept.child.process.poll() is None for kept in self._kept.values())

    def tick(self) -> None:
        """Notice who has died, and start those again that have been away for long enough."""
        now = time.monotonic()
        for kept in self._kept.values():
            if kept.restart_at is None and kept.child.process.poll() is not None:
                kept.restart_at = now + self._mourn(kept)
            if kept.restart_at is not None and now >= kept.restart_at:
                self._restart(kept)

    def _mourn(self, kept: Kept) -> float:
        """Return for how long it stays away."""
        away_seconds, kept.away_seconds = kept.away_seconds, None
        if away_seconds is not None:
            return away_seconds
        self.ended.append(Ended(kept.program.name, children.exit_code(kept.child.process.returncode)))
        return _RESTART_SECONDS

    def _restart(self, kept: Kept) -> None:
        # A supervisor ends what a dead process left, before it starts the next one.
        _signal_group(kept.child.pid, signal.SIGKILL)
        self.children.discard(kept.child)
        kept.before_start()
        kept.lives += 1
        # A name of its own, so that each life has a log of its own.
        kept.child = self.children.start(replace(kept.program, name=f"{kept.program.name}.{kept.lives}"))
        kept.restart_at = None

    def change(self, name: str, environment: Mapping[str, str]) -> bool:
        """Let the process finish what it has in hand, and start it again with these variables changed."""
        kept = self._kept[name]
        kept.program = replace(kept.program, environment={**kept.program.environment, **environment})
        return self.kill_parent(name, away_seconds=0.0, number=signal.SIGTERM)

    def kill(self, name: str, *, away_seconds: float, number: int = signal.SIGKILL) -> bool:
        """End the process and all that it started. False: it was not there."""
        return self._end(name, away_seconds, lambda pid: _signal_group(pid, number))

    def kill_parent(self, name: str, *, away_seconds: float, number: int = signal.SIGKILL) -> bool:
        """End the process alone."""
        return self._end(name, away_seconds, lambda pid: _signal_one(pid, number))

    def kill_child(self, name: str) -> bool:
        """End one of the processes that it started."""
        kept = self._kept[name]
        started = _started_by(kept.child.pid)
        return bool(started) and _signal_one(self._chance.choice(started), signal.SIGKILL)

    def freeze(self, name: str) -> bool:
        return self._is_there(name) and _signal_group(self._kept[name].child.pid, signal.SIGSTOP)

    def thaw(self, name: str) -> bool:
        return self._is_there(name) and _signal_group(self._kept[name].child.pid, signal.SIGCONT)

    def thaw_all(self) -> None:
        for name in self._kept:
            self.thaw(name)

    def _end(self, name: str, away_seconds: float, end: Callable[[int], bool]) -> bool:
        if not self._is_there(name):
            return False
        self._kept[name].away_seconds = away_seconds
        return end(self._kept[name].child.pid)

    def _is_there(self, name: str) -> bool:
        return self._kept[name].child.process.poll() is None


def _signal_group(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
        return True
    return False


def _signal_one(pid: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def _started_by(parent: int) -> list[int]:
    shown = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = (line.split() for line in shown.stdout.splitlines())
    return sorted(int(pid) for pid, started_by in pairs if int(started_by) == parent)
