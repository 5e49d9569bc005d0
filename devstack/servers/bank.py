"""The sandbox bank as a process of a stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from devstack import errors
from devstack.processes import children, ports, stopping
from devstack.servers import environment

_READY_SECONDS = 30.0
_START_ATTEMPTS = 3
# Another program took the port between our look and the bank's start.
_PASSING = "is in use"


class BankProcess:
    """Start it, wait for it, and tell the platform where it is."""

    def __init__(
        self, processes: children.Children, *, book: Path, secret: str, callback_secret: str, callback_url: str
    ) -> None:
        self._processes = processes
        self._book = book
        self._secret = secret
        self._callback_secret = callback_secret
        self._callback_url = callback_url

    def start(self) -> None:
        """Start it on a free port; it may not answer yet."""
        self._port = ports.free()
        self._child = self._processes.start(self._program())

    @property
    def address(self) -> str:
        """Its address; what the platform calls is below /v1, what tests call below /control."""
        return f"http://{ports.LOOPBACK}:{self._port}"

    def wait(self) -> None:
        """Return when it answers."""
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self._processes.wait_for(self._answers, what="The bank", seconds=_READY_SECONDS)
            except errors.ProcessEndedError:
                if attempt == _START_ATTEMPTS or not self._ended_for_a_passing_reason():
                    raise
            else:
                return
            self._processes.discard(self._child)
            self.start()

    def give_to(self, platform: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the platform's processes with this bank in it."""
        return environment.with_bank(
            platform, url=f"{self.address}/v1", secret=self._secret, callback_secret=self._callback_secret
        )

    def _answers(self) -> bool:
        return ports.answers(self._port, say=b"GET /livez HTTP/1.0\r\n\r\n", expect=b" 200 OK\r\n")

    def _ended_for_a_passing_reason(self) -> bool:
        return self._child.process.poll() is not None and any(
            _PASSING in line for line in self._processes.tail(self._child.name)
        )

    def _program(self) -> children.Program:
        place = ["--port", str(self._port), "--book", str(self._book), "--callback-url", self._callback_url]
        return children.Program(
            name="bank",
            command=[sys.executable, "-m", "sandbox_bank", *place],
            environment=self._environment(),
            # A worker that is asked to stop still finishes the call that is under way.
            phase=stopping.PHASE_BROKER,
            address=self.address,
            echo=True,
        )

    def _environment(self) -> dict[str, str]:
        """The secrets, in no command line, and no other bank's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BANK_")}
        secrets = {"BANK_SECRET": self._secret, "BANK_CALLBACK_SECRET": self._callback_secret}
        return {**kept, **secrets, "PYTHONUNBUFFERED": "1"}
