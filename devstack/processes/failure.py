"""Say why a process ended, as far as its own words tell."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from devstack import errors
from devstack.processes import children

# The system's words, and PostgreSQL's when a file could be extended by half a block only.
_DISK_FULL = ("No space left on device", "Check free disk space")
_FREE_BYTES_MIN = 1024 * 1024


def explain(processes: children.Children, ended: errors.ProcessEndedError, *, say: Callable[[str], None]) -> None:
    """Say what happened: one sentence when the cause is known, else the last lines of the process before it."""
    tail = processes.tail(ended.name)
    if is_disk_full(tail, directory=processes.log_directory):
        say(
            f"The disk that holds {processes.log_directory.parent} is full, so {ended.name} ended: "
            "free some space and start again."
        )
        return
    # The terminal has the lines of some processes already.
    for line in [] if processes.was_shown(ended.name) else tail:
        say(f"  {line}")
    say(f"{ended} Its log is {processes.log_directory / ended.name}.log.")


def is_disk_full(tail: list[str], *, directory: Path) -> bool:
    """Look at the words of the process, and at the disk: on a full one the words may not have been written."""
    if any(words in line for line in tail for words in _DISK_FULL):
        return True
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize < _FREE_BYTES_MIN
