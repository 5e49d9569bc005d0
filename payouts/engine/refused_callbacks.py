"""Callbacks that were refused. Anyone can send them, so they are counted, and not logged one by one."""

from __future__ import annotations

import logging
from collections import Counter
from threading import Lock, Timer
from typing import Final

from rest.tallies import Tally

logger = logging.getLogger(__name__)

#: The first refusal is logged at once, and what follows it at the end of such a time.
LOG_SECONDS: Final = 60.0


class RefusedCallbacks:
    """The refusals of one process: all for the metrics, and those of the current minute for the log."""

    def __init__(self, *, log_seconds: float = LOG_SECONDS) -> None:
        self.tally = Tally()
        self._log_seconds = log_seconds
        self._lock = Lock()
        self._counts: Counter[str] = Counter()
        self._reasons: dict[str, str] = {}
        self._minute: Timer | None = None

    def record(self, provider: str, reason: str) -> None:
        """Count a refusal. Log it if it is the first one for a while."""
        self.tally.add()
        with self._lock:
            self._counts[provider] += 1
            self._reasons[provider] = reason
            if self._minute is not None:
                return
            self._log()

    def end_minute(self) -> None:
        """Log what was refused since the last line, if anything was."""
        with self._lock:
            if self._minute is not None:
                self._minute.cancel()
                self._minute = None
            if self._counts:
                self._log()

    def _log(self) -> None:
        """Log each provider with its count and its last reason, and begin another minute."""
        for provider, count in self._counts.items():
            extra = {"provider": provider, "reason": self._reasons[provider], "count": count}
            logger.warning("callback.refused", extra=extra)
        self._counts.clear()
        self._minute = Timer(self._log_seconds, self.end_minute)
        self._minute.daemon = True
        self._minute.start()


refused: Final = RefusedCallbacks()
