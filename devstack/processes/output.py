"""The terminal: one line at a time, each with the name of its process.

A thread of its own prints from a bounded queue. A paused terminal (Ctrl-S) or an unread pipe must never delay a payout,
so a full queue drops lines. The log files keep them.
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
    """Prints without blocking its caller."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream
        self.colours = stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        self._lines: queue.Queue[str | None] = queue.Queue(_QUEUE_LINES_MAX)
        self._thread = threading.Thread(target=self._print, name="terminal", daemon=True)
        self._thread.start()

    def say(self, text: str = "") -> None:
        """Print a line of the launcher."""
        self._put(text)

    def line(self, name: str, text: str) -> None:
        """Print a line of one process."""
        self._put(f"{self.paint(f'{name:<{_NAME_WIDTH}} |', _COLOURS.get(name, 37))} {text}")

    def paint(self, text: str, colour: int) -> str:
        return f"\033[{colour}m{text}\033[0m" if self.colours else text

    def close(self) -> None:
        """Print the queued lines; give up if the terminal does not accept them."""
        self._put(None)
        self._thread.join(_FLUSH_SECONDS)

    def _put(self, text: str | None) -> None:
        try:
            self._lines.put_nowait(text)
        except queue.Full:
            return

    def _print(self) -> None:
        while (text := self._lines.get()) is not None:
            # The terminal may have been closed. The stack goes on, and the log files have everything.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(f"{text}\n")
                self._stream.flush()


class Silence(Terminal):
    """Prints nothing, for `demo` and `exec`: the processes write to their log files alone."""

    def __init__(self) -> None:
        self.colours = False

    def close(self) -> None:
        return

    def _put(self, text: str | None) -> None:
        return
