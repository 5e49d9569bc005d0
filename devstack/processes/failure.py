"""Explain why a process ended, from its log."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from devstack import errors
from devstack.processes import children

# The message of the system, and that of PostgreSQL after a partial write.
_DISK_FULL = ("No space left on device", "Check free disk space")
_FREE_BYTES_MIN = 1024 * 1024


def explain(processes: children.Children, ended: errors.ProcessEndedError, *, say: Callable[[str], None]) -> None:
    """Print one sentence if the cause is known; otherwise the last log lines, then a sentence."""
    tail = processes.tail(ended.name)
    if is_disk_full(tail, directory=processes.log_directory):
        say(
            f"The disk that holds {processes.log_directory.parent} is full, so {ended.name} ended: "
            "free some space and start again."
        )
        return
    # The terminal has already shown the output of some processes.
    for line in [] if processes.was_shown(ended.name) else tail:
        say(f"  {line}")
    say(f"{ended} Its log is {processes.log_directory / ended.name}.log.")


def is_disk_full(tail: list[str], *, directory: Path) -> bool:
    """Look at the log and at the disk: on a full disk the log may lack the message."""
    if any(words in line for line in tail for words in _DISK_FULL):
        return True
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize < _FREE_BYTES_MIN
