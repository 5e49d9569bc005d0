"""What PostgreSQL, Redis and the bank have in common: each may need a second attempt to start."""

from __future__ import annotations

import abc

from devstack import errors
from devstack.processes import children, launcher

_READY_SECONDS = 60.0
_START_ATTEMPTS = 3
# These reasons pass within a moment: another program took the port after we had found it free (PostgreSQL and Redis,
# then the bank), or the backends of a killed PostgreSQL are still ending.
_PASSING = ("Address already in use", "is in use", "pre-existing shared memory block")


class Service(abc.ABC):
    """A server that is a child of the launcher."""

    child: children.Child

    def __init__(self, launch: launcher.Launcher) -> None:
        self.launch = launch

    @abc.abstractmethod
    def start(self) -> None:
        """Start the server and set `child`; it may not answer yet."""

    @abc.abstractmethod
    def is_ready(self) -> bool:
        """Say whether the server answers."""

    def wait(self) -> None:
        """Return when the server answers. Start it again if it ended for a reason that passes."""
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self.launch.children.wait_for(self.is_ready, what=self.child.name, seconds=_READY_SECONDS)
            except errors.ProcessEndedError:
                if attempt == _START_ATTEMPTS or not self._ended_for_a_passing_reason():
                    raise
            else:
                return
            self.launch.children.discard(self.child)
            self.start()

    def _ended_for_a_passing_reason(self) -> bool:
        return self.child.process.poll() is not None and any(
            words in line for line in self.launch.children.tail(self.child.name) for words in _PASSING
        )
