"""A real stack in a place of its own: `python -m devstack run` as a user starts it, and what a test asks of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.processes import identity

CHECKOUT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 60.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05

# The suite itself runs beside other services; the stack under test must start its own.
_NOT_INHERITED = ("POSTGRES_", "CELERY_", "DJANGO_", "PAYOUTS_", "COV_", "PYTEST_")


_ISSUE_API_KEY = """
import os, sys
import django
from django.core.management import call_command
from devstack.processes import attach
attach.attach(os.environ)
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
merchant, *options = sys.argv[1:]
call_command("create_merchant", merchant, "--if-missing", stdout=sys.stderr)
call_command("issue_api_key", merchant, *options)
"""


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Process:
    """A process and the mark that tells it from a later one with its pid."""

    pid: int
    started: str | None
    command: str


class Stack:
    """Start, ask, stop. `settings` are environment variables of the stack, such as PAYOUTS_WEB_WORKERS."""

    def __init__(self, directory: Path, *, settings: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.output_file = directory.with_name(f"{directory.name}.output")
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)
        } | {"PAYOUTS_STATE_DIR": str(directory), **(settings or {})}
        self._launcher: subprocess.Popen[bytes] | None = None
        self._description: dict[str, Any] = {}

    def start(self, *options: str) -> None:
        """Return when the stack serves."""
        self._description = {}
        self._launcher = self.launch(*options)
        deadline = time.monotonic() + START_SECONDS
        while self._read_description() is None:
            assert self._launcher.poll() is None, f"The stack ended while it started:\n{self.output}"
            assert time.monotonic() < deadline, f"The stack did not start:\n{self.output}"
            time.sleep(_POLL_SECONDS)

    def launch(self, *options: str) -> subprocess.Popen[bytes]:
        """Start a launcher and do not wait for anything; its output goes to a file."""
        with self.output_file.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "devstack", "--with-parent", "run", *(options or ("--port", "0"))],
                env=self.environment,
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def launcher(self) -> subprocess.Popen[bytes]:
        assert self._launcher is not None, "The stack was not started."
        return self._launcher

    @property
    def output(self) -> str:
        """What the launcher has printed so far."""
        return self.output_file.read_text(encoding="utf-8", errors="replace")

    @property
    def description(self) -> dict[str, Any]:
        """What stack.json said when the stack was up."""
        return self._description

    @property
    def base_url(self) -> str:
        return str(self._description["base_url"])

    def pid(self, name: str) -> int:
        """Return the pid of the process with this name: postgres, replica, redis, web, worker, sweeper."""
        return next(int(process["pid"]) for process in self._description["processes"] if process["name"] == name)

    def send_signal(self, name: str, number: int) -> None:
        """Send a signal to one process: SIGSTOP and SIGCONT for a silent one, SIGKILL for a dead one."""
        os.kill(self.pid(name), number)

    def manage(self, *arguments: str, **settings: str) -> Finished:
        """Run manage.py as a user does in another terminal: it finds the stack by PAYOUTS_STATE_DIR alone."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            env=self.environment | settings,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Finished(exit_code=done.returncode, stdout=done.stdout.strip(), stderr=done.stderr.strip())

    def issue_api_key(self, merchant: str, *options: str) -> str:
        """Create the merchant when it is missing, and return a new key of it (test mode unless the options say so).

        Both commands run in one process, without the system checks: a process spends its time on imports.
        """
        done = subprocess.run(
            [sys.executable, "-c", _ISSUE_API_KEY, merchant, *options],
            env=self.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def everything(self) -> list[Process]:
        """Return every process of the stack as of now: launcher, guardian, children, and what those started."""
        children: dict[int, list[Process]] = {}
        shown = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        for line in shown.stdout.splitlines():
            pid, parent, command = line.split(maxsplit=2)
            children.setdefault(int(parent), []).append(Process(int(pid), identity.started_at(int(pid)), command))
        found = [Process(self.launcher.pid, identity.started_at(self.launcher.pid), "launcher")]
        for process in found:
            found.extend(children.get(process.pid, []))
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask the launcher to stop and return its exit code."""
        self.launcher.send_signal(number)
        return self.launcher.wait(STOP_SECONDS)

    def destroy(self) -> None:
        """Leave nothing behind, whatever a test did."""
        if self._launcher is not None and self._launcher.poll() is None:
            self._launcher.send_signal(signal.SIGTERM)
            try:
                self._launcher.wait(2 * STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # Its guardian does the rest.
                self._launcher.kill()
                self._launcher.wait()

    def _read_description(self) -> dict[str, Any] | None:
        try:
            description = json.loads((self.directory / "stack.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        # A file that a killed predecessor left says nothing about this launcher.
        if description["launcher"]["pid"] != self.launcher.pid:
            return None
        self._description = description
        return self._description


def wait_until_gone(processes: list[Process], *, seconds: float = STOP_SECONDS) -> list[Process]:
    """Wait for these processes to end and return those that did not."""
    deadline = time.monotonic() + seconds
    while alive := [process for process in processes if identity.is_alive(process.pid, started=process.started)]:
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    return alive
