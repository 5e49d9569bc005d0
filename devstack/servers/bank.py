"""The sandbox bank as a process of a stack."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from devstack.processes import children, launcher, ports, stopping
from devstack.servers import environment, service


class Bank(service.Service):
    """The bank of one stack."""

    def __init__(
        self, launch: launcher.Launcher, *, book: Path, secret: str, callback_secret: str, callback_url: str
    ) -> None:
        super().__init__(launch)
        self._book = book
        self._secret = secret
        self._callback_secret = callback_secret
        self._callback_url = callback_url

    def start(self) -> None:
        """Start it on a free port; it may not answer yet."""
        self._port = ports.free()
        self.child = self.launch.children.start(self._program())

    @property
    def address(self) -> str:
        """Its address; what the platform calls is below /v1, what tests call below /control."""
        return f"http://{ports.LOOPBACK}:{self._port}"

    def give_to(self, platform: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the platform's processes with this bank in it."""
        return environment.with_bank(
            platform, url=f"{self.address}/v1", secret=self._secret, callback_secret=self._callback_secret
        )

    def is_ready(self) -> bool:
        return ports.answers(self._port, say=b"GET /livez HTTP/1.0\r\n\r\n", expect=b" 200 OK\r\n")

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
