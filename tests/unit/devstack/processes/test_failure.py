from __future__ import annotations

from pathlib import Path

import pytest

from devstack.processes import failure


class TestIsDiskFull:
    @pytest.mark.parametrize(
        "line",
        [
            'PANIC:  could not write to file "pg_wal/xlogtemp.42": No space left on device',
            "HINT:  Check free disk space.",
        ],
    )
    def test_knows_the_words(self, tmp_path: Path, line: str) -> None:
        assert failure.is_disk_full(["LOG:  starting", line], directory=tmp_path)

    def test_is_not_said_of_another_end(self, tmp_path: Path) -> None:
        assert not failure.is_disk_full(["FATAL:  out of memory"], directory=tmp_path)
