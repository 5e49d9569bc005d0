"""Web servers as deploy serves them, and a request that stands still at the place where its process will die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.db import connection

from devstack.processes import children, identity, ports

# Instead of the one that deploy/gunicorn.conf.py names.
CRASHING_APPLICATION = "tests.chaos.crashing_wsgi:application"

# More than the retries of one test, so that they all wait in PostgreSQL and none of them for a thread.
THREADS = 8

#: Where a request says at which point it is to stop.
HEADER = "X-Crash-At"

# A worker takes about a second to start, and several when the machine has other things to do.
PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.01

# A server is told everything that concerns it, and nothing else.
_NOT_INHERITED = ("POSTGRES_", "CELERY_", "DJANGO_", "PAYOUTS_", "COV_", "PYTEST_", "PG")


def environment() -> dict[str, str]:
    """What a server must be told in order to share our database and broker."""
    ours = connection.settings_dict
    return {
        **{f"POSTGRES_{name}": str(ours[name]) for name in ("USER", "PASSWORD", "HOST", "PORT")},
        "POSTGRES_DB": str(ours["NAME"]),
        "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
        "DJANGO_SECRET_KEY": settings.SECRET_KEY,
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
        "PAYOUTS_BEHIND_HTTPS": "false",
        "PAYOUTS_STATIC_FROM_SOURCE": "true",
    }


def wait_until(condition: Callable[[], bool], *, what: str) -> None:
    """Return once the condition holds; it is asked again and again, and not for ever."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"Waited in vain until {what}."
        time.sleep(_POLL_SECONDS)


@dataclass(frozen=True)
class Crash:
    """A process that stands at a crash point, and the request that brought it there."""

    pid: int
    started: str | None
    request: Future[httpx.Response]

    @property
    def is_alive(self) -> bool:
        return identity.is_alive(self.pid, started=self.started)

    def kill(self) -> None:
        """End it as a power cut would, and return when it is gone."""
        if self.is_alive:
            os.kill(self.pid, signal.SIGKILL)
        wait_until(lambda: not self.is_alive, what="the killed process is gone")


class Server:
    """gunicorn, as deploy configures it. `name` is what its connections are called in pg_stat_activity."""

    def __init__(
        self,
        name: str,
        directory: Path,
        *applications: str,
        environment: Mapping[str, str],
        workers: int = 1,
        threads: int = THREADS,
    ) -> None:
        self.name = name
        self.markers = directory / f"{name}.markers"
        self.markers.mkdir()
        self._applications = applications
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(_NOT_INHERITED)},
            **environment,
            "CRASH_MARKERS": str(self.markers),
            "PAYOUTS_PROCESS_NAME": name,
            "PAYOUTS_THROTTLE_REQUESTS_PER_MINUTE": "0",
            "PAYOUTS_WEB_WORKERS": str(workers),
            "PAYOUTS_WEB_THREADS": str(threads),
        }
        self._output = directory / f"{name}.output"
        self._process: subprocess.Popen[bytes] | None = None
        self.base_url = ""

    def start(self) -> None:
        """Start it and return at once: two of them start side by side."""
        listener = ports.reserve(0)
        self.base_url = f"http://{ports.LOOPBACK}:{listener.getsockname()[1]}"
        options = ("--config", "deploy/gunicorn.conf.py", "--bind", f"fd://{listener.fileno()}", *self._applications)
        with listener, self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*_dies_with_us(), sys.executable, "-m", "gunicorn", *options],
                env=self._environment,
                cwd=children.CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(listener.fileno(),),
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return when it serves."""
        wait_until(self._is_ready, what=f"{self.name} serves (see {self._output})")

    @property
    def pid(self) -> int:
        """The parent process, which must outlive the crashes of its child."""
        assert self._process is not None
        return self._process.pid

    def post(self, body: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
        """POST on a connection of its own: one that was kept may lead to a process that is dead."""
        url = f"{self.base_url}/api/payouts/"
        return httpx.post(url, json=body, headers=headers, timeout=PATIENCE_SECONDS, trust_env=False)

    @contextmanager
    def stopped_at(self, point: str, body: dict[str, Any], headers: dict[str, str]) -> Iterator[Crash]:
        """Send the request and yield the process that stands at the point. It is dead at the end, at the latest."""
        marker = self.markers / point
        with ThreadPoolExecutor(1) as pool:
            request = pool.submit(self.post, body, {**headers, HEADER: point})
            wait_until(lambda: marker.exists() or request.done(), what=f"{point} is reached (see {self._output})")
            assert marker.exists(), f"{point} is not on the way of this request: {request}"
            pid = int(marker.read_text(encoding="ascii"))
            marker.unlink()
            crash = Crash(pid, identity.started_at(pid), request)
            try:
                yield crash
            finally:
                crash.kill()

    def destroy(self) -> None:
        """Leave nothing behind, whatever a test did: a stopped thread would hold up a polite end."""
        # It leads its group as long as nobody has waited for it, so the number is not somebody else's by now. If it has
        # ended, its child has seen that and ended as well.
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._output.read_text(encoding="utf-8", errors="replace")
        try:
            return httpx.get(f"{self.base_url}/readyz", timeout=5.0, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False


def _dies_with_us() -> list[str]:
    """Have the kernel stop the server when the tests are killed and can tear nothing down (Linux)."""
    script = children.CHECKOUT / "devstack" / "processes" / "child.py"
    return [sys.executable, str(script), f"--parent={os.getpid()}", f"--death-signal={int(signal.SIGTERM)}", "--"]
