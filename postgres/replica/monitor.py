"""Whether the replica is in use. It is looked at beside the requests, so that none of them waits for it.

A thread in each process that reads from the replica looks every two seconds, as long as somebody reads. What it has
seen holds for four: a replica that does not even refuse is out of use by then.
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

INTERVAL_SECONDS: Final = 2.0
#: A look comes after 2 s and takes some milliseconds; the rest is for a busy machine.
FRESH_SECONDS: Final = 4.0
#: When nobody has asked for a minute, the connections of the thread are given back.
IDLE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Health:
    """What is known of the replica."""

    usable: bool
    #: Why it is not usable.
    reason: str = ""
    #: What it shows is at most so old; None: nobody knows.
    lag_seconds: float | None = None
    error: str = ""

    @property
    def is_unreachable(self) -> bool:
        """Whether nothing is to be expected of it any more, not even the rest of an answer."""
        return self.reason in {"silent", "unreachable"}


UNKNOWN: Final = Health(usable=False, reason="not_looked_at")
SILENT: Final = Health(usable=False, reason="silent")


def unreachable(error: Exception) -> Health:
    """Return what an error of the driver says about the replica."""
    return Health(usable=False, reason="unreachable", error=sentence(error))


def sentence(error: Exception) -> str:
    """Return what the driver says, on one line."""
    return " ".join(str(error).split())


class Monitor:
    """What the last look has shown, and the thread that looks."""

    def __init__(self, measure: Callable[[], Health]) -> None:
        self._measure = measure
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._health = UNKNOWN
        self._measured_at = self._asked_at = 0.0
        #: Whether it was in use when that was last told.
        self._logged_usable: bool | None = None

    def health(self, *, patience_seconds: float = 0.0) -> Health:
        """Return what is known; where nothing is yet, wait for the first look for so long."""
        with self._changed:
            self._asked_at = time.monotonic()
            if self._thread is None or not self._thread.is_alive():
                self._start()
            if self._health is UNKNOWN and patience_seconds:
                self._changed.wait_for(lambda: self._health is not UNKNOWN, patience_seconds)
            if time.monotonic() - self._measured_at > FRESH_SECONDS:
                self._set_health(SILENT)
            return self._health

    def mark_failed(self, error: Exception) -> None:
        """Take it out of use until it was looked at again, which is at once: it has just failed somebody."""
        with self._changed:
            self._set_health(unreachable(error))
        self._wake.set()

    def _start(self) -> None:
        # A process that has forked, or has not looked for a minute, knows nothing.
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
                self._wake.wait(INTERVAL_SECONDS)
                self._wake.clear()
        finally:
            connections.close_all()

    def _is_wanted(self) -> bool:
        with self._changed:
            if time.monotonic() - self._asked_at <= IDLE_SECONDS:
                return True
            # Whoever asks from now on starts another thread.
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
