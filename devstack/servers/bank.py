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
        """Start the bank on a free port; it may not answer yet."""
        self._port = ports.free()
        self.child = self.launch.children.start(self._program())

    @property
    def address(self) -> str:
        """The base address: /v1 is for the platform, /control for tests."""
        return f"http://{ports.LOOPBACK}:{self._port}"

    def give_to(self, platform: Mapping[str, str]) -> dict[str, str]:
        """Return the platform's environment with this bank."""
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
            # Not PHASE_APPLICATION: a worker that stops finishes its current call first.
            phase=stopping.PHASE_BROKER,
            address=self.address,
            echo=True,
        )

    def _environment(self) -> dict[str, str]:
        """Return the environment with the secrets, which must not be in a command line, and none of another bank."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BANK_")}
        secrets = {"BANK_SECRET": self._secret, "BANK_CALLBACK_SECRET": self._callback_secret}
        return {**kept, **secrets, "PYTHONUNBUFFERED": "1"}
