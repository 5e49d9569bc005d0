from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from devstack.processes import identity


class TestIdentity:
    def test_knows_a_living_process(self) -> None:
        started = identity.started_at(os.getpid())

        assert started is not None
        assert identity.is_alive(os.getpid(), started=started)

    def test_tells_apart_a_later_process_with_the_same_pid(self) -> None:
        assert not identity.is_alive(os.getpid(), started="earlier")

    def test_takes_a_zombie_for_dead(self) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            started = identity.started_at(process.pid)
            process.kill()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

            assert started is not None
            assert not identity.is_alive(process.pid, started=started)

    def test_without_a_mark_nothing_is_alive(self) -> None:
        assert not identity.is_alive(os.getpid(), started=None)

    def test_knows_where_a_process_works(self, tmp_path: Path) -> None:
        assert identity.runs_in(os.getpid(), Path.cwd())
        assert not identity.runs_in(os.getpid(), tmp_path)
