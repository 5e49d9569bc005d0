"""Stop processes in order, for the launcher as their parent or for the guardian after the launcher's death.

The order: first the users of database and broker, then the broker, then the database. Each phase has its own time, so
that a hanging process cannot use the time of the next. Standard library only.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

PHASE_APPLICATION = 0
PHASE_BROKER = 1
PHASE_DATABASE = 2

# 4 + 1 + 4 = 9 s: the whole stack ends within 10 s, even if every process ignores its signal.
GRACE_SECONDS = {PHASE_APPLICATION: 4.0, PHASE_BROKER: 1.0, PHASE_DATABASE: 4.0}
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Target:
    """A process and how to stop it. With `group`, its whole process group is signalled."""

    name: str
    pid: int
    phase: int
    stop_signal: int = signal.SIGTERM
    group: bool = True

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def stop(targets: Iterable[Target], *, reap: Callable[[], object] = lambda: None) -> None:
    """Stop all targets, phase by phase: signal, wait for the grace time, kill. Return when all have ended.

    `reap` collects the exit codes of direct children; without it a dead child stays a zombie and looks alive.
    """
    remaining = list(targets)
    for phase in sorted(GRACE_SECONDS):
        _stop_phase([target for target in remaining if target.phase == phase], phase=phase, reap=reap)


def _stop_phase(targets: list[Target], *, phase: int, reap: Callable[[], object]) -> None:
    for target in targets:
        send(target, target.stop_signal)
    if _wait_until_gone(targets, seconds=GRACE_SECONDS[phase], reap=reap):
        return
    for target in targets:
        send(target, signal.SIGKILL)
    _wait_until_gone(targets, seconds=1.0, reap=reap)


def _wait_until_gone(targets: list[Target], *, seconds: float, reap: Callable[[], object]) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        reap()
        if not any(send(target, 0) for target in targets):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)


def send(target: Target, number: int) -> bool:
    """Signal the target; return False if it has ended. Signal 0 only checks."""
    try:
        if target.group:
            os.killpg(target.pid, number)
        else:
            os.kill(target.pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        # macOS reports a group of zombies like this. It is not another user's process, because we started it.
        return False
    return True
