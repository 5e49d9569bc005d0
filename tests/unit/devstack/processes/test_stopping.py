from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from devstack.processes import stopping

_OBEDIENT = "import time; print('up', flush=True); time.sleep(60)"
_DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {_OBEDIENT}"
_PARENT = (
    "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(child.pid, flush=True); child.wait()"
)


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(started: list[subprocess.Popen[str]], code: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    started.append(process)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def target(process: subprocess.Popen[str], *, phase: int) -> stopping.Target:
    return stopping.Target(name="it", pid=process.pid, phase=phase)


class TestStop:
    def test_asks_first_and_kills_who_does_not_listen(
        self, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(stopping.GRACE_SECONDS, stopping.PHASE_APPLICATION, 0.3)
        obedient, _ = start(started, _OBEDIENT)
        deaf, _ = start(started, _DEAF)
        targets = [target(process, phase=stopping.PHASE_APPLICATION) for process in (obedient, deaf)]

        stopping.stop(targets, reap=lambda: [process.poll() for process in started])

        assert (obedient.returncode, deaf.returncode) == (-signal.SIGTERM, -signal.SIGKILL)

    def test_stops_what_a_process_started(self, started: list[subprocess.Popen[str]]) -> None:
        parent, child = start(started, _PARENT)

        stopping.stop([target(parent, phase=stopping.PHASE_APPLICATION)], reap=parent.poll)

        assert not stopping.send(stopping.Target(name="child", pid=int(child), phase=0, group=False), 0)

    def test_stops_the_database_after_those_who_use_it(
        self, started: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(stopping.GRACE_SECONDS, stopping.PHASE_APPLICATION, 0.3)
        database, _ = start(started, _OBEDIENT)
        slow, _ = start(started, _DEAF)
        ends: dict[str, float] = {}

        def reap() -> None:
            for name, process in {"database": database, "slow": slow}.items():
                if process.poll() is not None:
                    ends.setdefault(name, time.monotonic())

        targets = [
            target(database, phase=stopping.PHASE_DATABASE),
            target(slow, phase=stopping.PHASE_APPLICATION),
        ]
        stopping.stop(targets, reap=reap)

        assert ends["slow"] < ends["database"]

    def test_is_over_within_ten_seconds_whatever_happens(self) -> None:
        assert sum(stopping.GRACE_SECONDS.values()) <= 9.0
