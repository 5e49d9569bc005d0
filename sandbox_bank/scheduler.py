"""Work that is repeated on time, in a thread of its own."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

from sandbox_bank import console

# The longest delay of due work after the clock was set back.
_PAUSE_MAX_SECONDS = 30.0
_PAUSE_AFTER_FAILURE_SECONDS = 1.0


class PeriodicTask:
    """Calls `work`, which returns the seconds until it is due again (None: after the next `wake`)."""

    def __init__(self, name: str, work: Callable[[], float | None]) -> None:
        self._work = work
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Call `work` now."""
        self._woken.set()

    def stop(self, *, timeout_seconds: float) -> None:
        self._stopped = True
        self._woken.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            # Before the work, so that a `wake` during the work is not lost.
            self._woken.clear()
            # The event that was just cleared may have come from `stop`.
            if self._stopped:
                return
            self._woken.wait(self._pause_after_work())

    def _pause_after_work(self) -> float:
        try:
            pause = self._work()
        except sqlite3.Error as error:
            # A full disk is temporary, and due work stays due.
            console.log(f"the book cannot be written: {error}")
            return _PAUSE_AFTER_FAILURE_SECONDS
        return _PAUSE_MAX_SECONDS if pause is None else min(max(pause, 0.0), _PAUSE_MAX_SECONDS)
