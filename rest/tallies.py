"""A count that the processes of one web server share, for the metrics: any of them may be asked.

A tally is made before the server forks its processes (gunicorn's master runs the system checks, which import all
views). Imports no framework.
"""

from __future__ import annotations

import mmap
import os
import struct
from threading import Lock
from typing import Final

#: Processes that count apart from each other. Two whose numbers fall together may lose a count, and break nothing.
_SLOTS: Final = 512
_FORMAT: Final = "=Q"
_SIZE: Final = struct.calcsize(_FORMAT)


class Tally:
    """How often something has happened since the server started."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOTS * _SIZE)
        self._lock = Lock()

    def add(self) -> None:
        """Count once more."""
        at = os.getpid() % _SLOTS * _SIZE
        with self._lock:
            (count,) = struct.unpack_from(_FORMAT, self._memory, at)
            struct.pack_into(_FORMAT, self._memory, at, count + 1)

    @property
    def total(self) -> int:
        """The count of all processes."""
        return sum(struct.unpack(f"={_SLOTS}Q", self._memory[:]))
