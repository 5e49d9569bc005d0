"""Decides whether the replica is in use. A thread measures the replica, so that no request waits.

Each process that reads from the replica has a thread, which measures every two seconds while there are reads. A result
is valid for four seconds: after that a silent replica is out of use.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from django.db import connections

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Timing:
    """When the thread measures, and how long a result is valid."""

    interval_seconds: float = 2.0
    #: 2 s between measurements, some milliseconds for one, the rest for a busy machine.
    fresh_seconds: float = 4.0
    #: After a minute without reads the thread ends and closes its connections.
    idle_seconds: float = 60.0


@dataclass(frozen=True)
class Health:
    """State of the replica."""

    usable: bool
    #: Empty if usable.
    reason: str = ""
    #: Maximum age of its data. None: unknown.
    lag_seconds: float | None = None
    error: str = ""

    @property
    def is_unreachable(self) -> bool:
        """Whether no answer will come, not even the rest of one."""
        return self.reason in {"silent", "unreachable"}


UNKNOWN: Final = Health(usable=False, reason="not_looked_at")
SILENT: Final = Health(usable=False, reason="silent")


def unreachable(error: Exception) -> Health:
    """Return the health after an error of the driver."""
    return Health(usable=False, reason="unreachable", error=sentence(error))


def sentence(error: Exception) -> str:
    """Return the error on one line."""
    return " ".join(str(error).split())


class Monitor:
    """The latest health, and the thread that measures."""

    def __init__(self, measure: Callable[[], Health], timing: Timing = Timing()) -> None:
        self.timing = timing
        self._measure = measure
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._health = UNKNOWN
        self._measured_at = self._asked_at = 0.0
        #: Whether the last log line said "in use".
        self._logged_usable: bool | None = None

    def health(self, *, patience_seconds: float = 0.0) -> Health:
        """Return the health. If there is none yet, wait up to `patience_seconds`."""
        with self._changed:
            self._asked_at = time.monotonic()
            if self._thread is None or not self._thread.is_alive():
                self._start()
            if self._health is UNKNOWN and patience_seconds:
                self._changed.wait_for(lambda: self._health is not UNKNOWN, patience_seconds)
            if time.monotonic() - self._measured_at > self.timing.fresh_seconds:
                self._set_health(SILENT)
            return self._health

    def mark_failed(self, error: Exception) -> None:
        """Take the replica out of use after a failed read, and measure again at once."""
        with self._changed:
            self._set_health(unreachable(error))
        self._wake.set()

    def _start(self) -> None:
        # After a fork or a minute without reads the old health is void.
        self._health, self._measured_at = UNKNOWN, time.monotonic()
        self._thread = threading.Thread(target=self._run, name="replica-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while self._is_wanted():
                health = self._measure()
                with self._changed:
                    self._measured_at = time.monotonic()
                    self._set_health(health)
                    self._changed.notify_all()
                self._wake.wait(self.timing.interval_seconds)
                self._wake.clear()
        finally:
            connections.close_all()

    def _is_wanted(self) -> bool:
        with self._changed:
            if time.monotonic() - self._asked_at <= self.timing.idle_seconds:
                return True
            # The next read starts another thread.
            self._thread = None
            return False

    def _set_health(self, health: Health) -> None:
        self._health = health
        if health.usable is self._logged_usable:
            return
        self._logged_usable = health.usable
        if health.usable:
            logger.info("replica.joined", extra={"lag_seconds": health.lag_seconds})
        else:
            said = {"reason": health.reason, "lag_seconds": health.lag_seconds, "error": health.error}
            logger.warning("replica.left", extra=said)
