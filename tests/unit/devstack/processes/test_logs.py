from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.processes import logs


@pytest.fixture
def log(tmp_path: Path) -> Iterator[logs.LogFile]:
    log = logs.LogFile(tmp_path / "web.log")
    yield log
    log.close()


class TestLogFile:
    def test_keeps_the_file_before(self, tmp_path: Path, log: logs.LogFile) -> None:
        (tmp_path / "web.log").write_text("yesterday\n", encoding="utf-8")

        log.write(b"today\n")

        assert (tmp_path / "web.log").read_text(encoding="utf-8") == "today\n"
        assert (tmp_path / "web.log.previous").read_text(encoding="utf-8") == "yesterday\n"

    def test_is_bounded(self, tmp_path: Path, log: logs.LogFile, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs, "_BYTES_MAX", 10)

        for number in range(9):
            log.write(b"line %d\n" % number)

        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * (10 + len("line 0\n"))
        assert log.tail()[-1] == "line 8"

    def test_shows_the_last_lines(self, log: logs.LogFile) -> None:
        for number in range(100):
            log.write(b"line %d\n" % number)

        assert log.tail() == [f"line {number}" for number in range(80, 100)]

    def test_loses_a_line_rather_than_the_process(self, tmp_path: Path) -> None:
        log = logs.LogFile(tmp_path / "missing" / "web.log")

        log.write(b"nowhere to go\n")

        assert log.tail() == []
