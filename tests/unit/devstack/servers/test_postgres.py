from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devstack import errors
from devstack.servers import postgres, postgres_binaries

_LOCK_FILE = "{pid}\n/data\n1\n5555\n\n127.0.0.1\n 1 1\n{state}\n"


def write_lock_file(cluster: Path, *, pid: int = 1, state: str = "ready   ") -> Path:
    path = cluster / "postmaster.pid"
    path.write_text(_LOCK_FILE.format(pid=pid, state=state), encoding="utf-8")
    return path


class TestIsReady:
    @pytest.mark.parametrize(("state", "ready"), [("ready   ", True), ("starting", False), ("stopping", False)])
    def test_believes_the_server(self, tmp_path: Path, *, state: str, ready: bool) -> None:
        write_lock_file(tmp_path, state=state)

        assert postgres.Postgres(port=1, password="", cluster=tmp_path).is_ready() is ready

    def test_waits_for_a_server_that_says_nothing_yet(self, tmp_path: Path) -> None:
        assert not postgres.Postgres(port=1, password="", cluster=tmp_path).is_ready()


class TestEndPredecessor:
    def test_removes_a_lock_file_whose_pid_is_a_stranger(self, tmp_path: Path) -> None:
        # After a restart, or in a container, the pid of a dead server soon belongs to somebody. It must not be hurt.
        lock_file = write_lock_file(tmp_path, pid=os.getpid())

        postgres.end_predecessor(tmp_path)

        assert not lock_file.exists()

    def test_ends_the_server_that_still_uses_the_data(self, tmp_path: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path) as server:
            write_lock_file(tmp_path, pid=server.pid)

            postgres.end_predecessor(tmp_path)

            assert server.poll() is not None

    @pytest.mark.parametrize("text", ["", "not a number\n", "-1\n"])
    def test_removes_a_lock_file_that_makes_no_sense(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "postmaster.pid").write_text(text, encoding="utf-8")

        postgres.end_predecessor(tmp_path)

        assert list(tmp_path.iterdir()) == []


class TestBinaries:
    def test_are_in_the_environment(self) -> None:
        assert (postgres_binaries.find() / "initdb").is_file()

    def test_missing_ones_are_said_with_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_binaries, "_PACKAGE", "no_such_package")

        with pytest.raises(errors.StackError, match=r"make setup.*POSTGRES_HOST"):
            postgres_binaries.find()
