"""What the terminal shows: one line at a time, each with the name of the process that wrote it.

Printing happens in a thread of its own behind a bounded queue. A terminal that is paused (Ctrl-S) or a pipe that
nobody reads must never hold up a payout; lines that find the queue full are dropped here and kept in the log file.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from typing import TextIO

_QUEUE_LINES_MAX = 10_000
_FLUSH_SECONDS = 1.0
_NAME_WIDTH = 8
_COLOURS = {"web": 36, "worker": 32, "sweeper": 35, "postgres": 34, "redis": 31, "migrate": 33, "bank": 33}


class Terminal:
    """Prints without ever blocking its caller."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self.colours = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._lines: queue.Queue[str | None] = queue.Queue(_QUEUE_LINES_MAX)
        self._thread = threading.Thread(target=self._print, name="terminal", daemon=True)
        self._thread.start()

    def say(self, text: str = "") -> None:
        """Print the launcher's own words."""
        self._put(text)

    def line(self, name: str, text: str) -> None:
        """Print a line of one process."""
        self._put(f"{self.paint(f'{name:<{_NAME_WIDTH}} |', _COLOURS.get(name, 37))} {text}")

    def paint(self, text: str, colour: int) -> str:
        return f"\033[{colour}m{text}\033[0m" if self.colours else text

    def close(self) -> None:
        """Print what is waiting; give up on a terminal that does not take it."""
        self._put(None)
        self._thread.join(_FLUSH_SECONDS)

    def _put(self, text: str | None) -> None:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            return

    def _print(self) -> None:
        while (text := self._lines.get()) is not None:
            # A terminal that is gone takes nothing more. The stack goes on; the log files have everything.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"{text}\n")
                self._stream.flush()


class Silence(Terminal):
    """For the demonstration and for `exec`: processes write to their log files alone."""

    def __init__(self) -> None:
        self.colours = False

    def close(self) -> None:
        return

    def _put(self, text: str | None) -> None:
        return
