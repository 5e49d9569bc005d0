"""The launcher: the one process that owns a state directory, its guardian and its children."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from devstack.processes import child, children, guardian, identity, output, state, stopping

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Launcher:
    """Everything between the start and the end of a stack. Leaving the `with` block leaves no process behind."""

    def __init__(self, directory: Path, *, terminal: output.Terminal, temporary: bool = False) -> None:
        self.state = state.StateDirectory(directory)
        self.terminal = terminal
        self.stop_signal: int | None = None
        self._temporary_directories = [directory] if temporary else []

    def __enter__(self) -> Self:
        self.state.open()
        self._listen_to_signals()
        self._guard = guardian.Guardian(keep_open=(self.state.lock_descriptor,))
        for path in (self.state.stack_file, *self._temporary_directories):
            self._guard.remove(path)
        self.children = children.Children(
            guard=self._guard,
            log_directory=self.state.logs,
            stop_requested=lambda: self.stop_signal is not None,
            terminal=self.terminal,
        )
        self._end_leftovers()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.children.stop_all()
        self.state.close()
        for directory in self._temporary_directories:
            shutil.rmtree(directory, ignore_errors=True)
        self._guard.dismiss()

    def remove_at_end(self, directory: Path) -> None:
        """Remove this temporary directory when the stack ends, even if the launcher is killed."""
        self._guard.remove(directory)
        self._temporary_directories.append(directory)

    def _listen_to_signals(self) -> None:
        for number in _STOP_SIGNALS:
            # `nohup` asks us to survive the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._request_stop)

    def _request_stop(self, number: int, frame: FrameType | None) -> None:
        self.stop_signal = number

    def _end_leftovers(self) -> None:
        """End what a launcher left that was killed with its guardian. We hold the lock, so no launcher owns it."""
        stack = state.read_stack(self.state.path) or {}
        leftovers = [
            process
            for process in stack.get("processes", [])
            if identity.is_alive(process["pid"], started=process.get("started"))
        ]
        # Not PostgreSQL: `postgres.end_predecessor` ends it by the pid in its lock file, with care for its data.
        targets = [
            stopping.Target(name=process["name"], pid=process["pid"], phase=stopping.PHASE_APPLICATION)
            for process in leftovers
            if process["name"] != "postgres"
        ]
        stopping.stop(targets)
        self.state.close()


def end_with_parent() -> None:
    """End this launcher if its parent dies, such as a `make` that is killed."""
    parent = os.getppid()
    child.set_death_signal(signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
