from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.support.stack import CHECKOUT, Stack


class TestRunningStack:
    def test_describes_itself(self, stack: Stack) -> None:
        names = [process["name"] for process in stack.description["processes"]]
        file = stack.directory / "stack.json"

        assert sorted(names) == ["bank", "postgres", "redis", "sweeper", "web", "worker"]
        assert stack.description["launcher"]["pid"] == stack.launcher.pid
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert httpx.get(f"{stack.base_url}/readyz", trust_env=False).json()["status"] == "ok"

    def test_is_found_by_manage_py(self, stack: Stack) -> None:
        created = stack.manage("create_merchant", "found")

        assert (created.exit_code, len(created.stdout)) == (0, len("01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"))

    def test_is_not_mixed_with_another_database(self, stack: Stack) -> None:
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = str(nobody.getsockname()[1])

            refused = stack.manage("create_merchant", "lost", POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=port)

        assert refused.exit_code == 1
        assert refused.stdout == ""
        assert "POSTGRES_HOST" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1

    def test_refuses_a_second_launcher_in_the_same_place(self, stack: Stack) -> None:
        second = subprocess.run(
            [sys.executable, "-m", "devstack", "run", "--port", "0"],
            env=stack.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

        assert second.returncode == 1
        assert second.stderr.startswith(f"Another stack (pid {stack.launcher.pid}) uses {stack.directory}.")
        assert len(second.stderr.splitlines()) == 1

    def test_refuses_a_port_that_is_taken(self, stack: Stack, make_stack: Callable[..., Stack]) -> None:
        port = stack.base_url.rpartition(":")[2]
        other = make_stack()

        assert other.launch("--port", port).wait(30) == 1
        assert other.output == (
            f"Port {port} is in use. Stop what uses it, or choose another: make run PORT={int(port) + 1}.\n"
        )
        assert not other.directory.exists()

    def test_lets_nobody_else_into_its_database(self, stack: Stack) -> None:
        shown = stack.manage("showmigrations", POSTGRES_PASSWORD="guessed", **_own_database(stack))

        assert shown.exit_code == 1
        assert "password authentication failed" in shown.stderr


def _own_database(stack: Stack) -> dict[str, str]:
    names = ("POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_USER", "POSTGRES_DB", "DJANGO_SECRET_KEY")
    return {name: stack.description["environment"][name] for name in names}


class TestExec:
    def test_passes_on_environment_and_exit_code(self, tmp_path: Path) -> None:
        script = "import os, sys; print(os.environ['POSTGRES_HOST'], os.environ['PAYOUTS_STATE_DIR']); sys.exit(7)"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("POSTGRES_", "CELERY_"))
        }

        done = subprocess.run(
            [sys.executable, "-m", "devstack", "exec", "--", sys.executable, "-c", script],
            env={**environment, "TMPDIR": str(tmp_path)},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        host, directory = done.stdout.split()
        assert (done.returncode, host) == (7, "127.0.0.1")
        assert Path(directory).parent == tmp_path
        assert list(tmp_path.iterdir()) == []
