"""Processor time and memory of processes, from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    name: str
    #: With that of its children that have ended.
    cpu_seconds: float


def running() -> dict[int, Process]:
    """Return all processes of the machine."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        fields = rest.split()
        ticks = sum(int(field) for field in fields[11:15])
        pid = int(stat.parent.name)
        found[pid] = Process(pid, int(fields[1]), name, ticks / _TICKS_A_SECOND)
    return found


def below(top: int, *, among: dict[int, Process]) -> list[Process]:
    """Return the process and all that it has started, directly or not."""
    return [process for process in among.values() if _descends(process.pid, top, among)]


def _descends(pid: int, ancestor: int, among: dict[int, Process]) -> bool:
    while pid in among:
        if pid == ancestor:
            return True
        pid = among[pid].parent
    return False


def cpu_of_services() -> float:
    """Return the processor seconds of all that the environment's launcher has started, but this process."""
    among = running()
    left_out = {os.getppid(), os.getpid()}
    return sum(process.cpu_seconds for process in below(os.getppid(), among=among) if process.pid not in left_out)


def busy_seconds() -> float:
    """Return the processor seconds that anything on this machine has used."""
    user, nice, system, _, _, interrupts, soft, stolen, *_ = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    return sum(int(ticks) for ticks in (user, nice, system, interrupts, soft, stolen)) / _TICKS_A_SECOND


def resident_megabytes(pid: int) -> float:
    """Return the memory of a process that is in use now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
