"""The bank as a process, to be killed and started again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from devstack.processes import ports
from tests.integration.sandbox_bank.caller import CALLBACK_SECRET, SECRET, TOKEN, Caller

CHECKOUT = Path(__file__).resolve().parents[3]
_START_SECONDS = 20.0
_SECRETS = {"BANK_TOKEN": TOKEN, "BANK_SECRET": SECRET, "BANK_CALLBACK_SECRET": CALLBACK_SECRET}


class RunningBank:
    """Always on the same port and with the same book."""

    def __init__(self, directory: Path) -> None:
        self.book = directory / "book.sqlite3"
        self.output_file = directory / "output"
        self.caller = Caller(ports.free())
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        """Return when it answers and has printed so: it answers a moment earlier."""
        self.process = self.launch(*options)
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_up() or "It moves no money.\n" not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.01)

    def launch(self, *options: str, output: int | None = None, **environment: str) -> subprocess.Popen[bytes]:
        """Start it and wait for nothing; its output goes to the file unless told otherwise."""
        with self.output_file.open("ab") as file:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "sandbox_bank"),
                    *("--port", str(self.caller.port), "--book", str(self.book), *options),
                ],
                env={**os.environ, **_SECRETS, **environment},
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=file if output is None else output,
                stderr=file,
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text(encoding="utf-8")

    def is_up(self) -> bool:
        return ports.answers(self.caller.port, say=b"GET /livez HTTP/1.0\r\n\r\n", expect=b" 200 OK\r\n")

    def kill(self) -> None:
        """As the kernel does it: without a word."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
