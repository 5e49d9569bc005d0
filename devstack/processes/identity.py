"""Tell a process from a later one that was given the same pid. Standard library only: manage.py imports it."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PROC = Path("/proc")


def started_at(pid: int) -> str | None:
    """Return a mark that no later process with this pid can have; None if the process has ended or is a zombie."""
    if (_PROC / "self" / "stat").exists():
        return _from_proc(pid)
    return _from_ps(pid)


def is_alive(pid: int, *, started: str | None) -> bool:
    """Say whether the process with this mark still runs."""
    return started is not None and started_at(pid) == started


def runs_in(pid: int, directory: Path) -> bool:
    """Say whether the process works in this directory, as a PostgreSQL server does in its data directory."""
    if (_PROC / "self" / "cwd").exists():
        try:
            return (_PROC / str(pid) / "cwd").samefile(directory)
        except OSError:
            return False
    return str(directory) in _ps(pid, "command=")


def _from_proc(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The second field is the program's name in brackets and may itself hold spaces and brackets.
    fields = stat.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}:{start_ticks}"


def _from_ps(pid: int) -> str | None:
    return _ps(pid, "lstart=") or None


def _ps(pid: int, column: str) -> str:
    shown = subprocess.run(["ps", "-o", column, "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip()
