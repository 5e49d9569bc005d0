"""Log files of the processes: bounded, and never a reason for a process to stop."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import IO

# Two files of 10 MB for each of five processes: a stack that runs for months fills 100 MB, not the disk.
_BYTES_MAX = 10 * 1024 * 1024
TAIL_LINES = 20


class LogFile:
    """The output of one process; the file before it is kept as NAME.log.previous."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._size = 0

    def write(self, line: bytes) -> None:
        """Append a line. A full disk costs the line, not the process."""
        with contextlib.suppress(OSError):
            if self._file is None or self._size > _BYTES_MAX:
                self._open()
            assert self._file is not None
            self._size += self._file.write(line)

    def tail(self) -> list[str]:
        """Return the last lines, to explain a failure."""
        try:
            return self.path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        except OSError:
            return []

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()

    def _open(self) -> None:
        self.close()
        with contextlib.suppress(FileNotFoundError):
            self.path.replace(self.path.with_name(f"{self.path.name}.previous"))
        self._file = self.path.open("wb", buffering=0)
        self._size = 0
