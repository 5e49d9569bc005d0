from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from devstack.processes import guardian, stopping


def target(pid: int) -> stopping.Target:
    return stopping.Target(name="worker", pid=pid, phase=stopping.PHASE_APPLICATION)


class TestReadOrders:
    def test_returns_what_is_left(self) -> None:
        orders = [
            {"watch": target(1).as_dict()},
            {"watch": target(2).as_dict()},
            {"forget": 1},
            {"remove": "/tmp/place"},
        ]
        lines = "".join(f"{json.dumps(order)}\n" for order in orders)

        assert guardian.read_orders(io.BytesIO(lines.encode())) == ([target(2)], [Path("/tmp/place")])

    def test_ignores_a_line_that_the_dying_launcher_did_not_finish(self) -> None:
        lines = f"{json.dumps({'watch': target(1).as_dict()})}\n" + '{"watch": {"na'

        assert guardian.read_orders(io.BytesIO(lines.encode())) == ([target(1)], [])


class TestGuardian:
    def test_stops_and_removes_what_the_launcher_left(self, tmp_path: Path) -> None:
        place, file = tmp_path / "place", tmp_path / "stack.json"
        place.mkdir()
        file.touch()
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as child:
            guard = guardian.Guardian(keep_open=())
            guard.watch(target(child.pid))
            guard.remove(place)
            guard.remove(file)

            # The end of the pipe is all that it sees of the launcher's death.
            assert guard.process.stdin is not None
            guard.process.stdin.close()

            assert child.wait(5) == -signal.SIGTERM
            assert guard.process.wait(10) == 0
        assert list(tmp_path.iterdir()) == []

    def test_is_not_stopped_by_what_stops_the_launcher(self) -> None:
        guard = guardian.Guardian(keep_open=())
        time.sleep(0.5)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            guard.process.send_signal(number)
        time.sleep(0.1)

        assert guard.process.poll() is None

        guard.dismiss()
        assert guard.process.returncode == 0
