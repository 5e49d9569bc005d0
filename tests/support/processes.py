"""The platform's processes with an environment of their own, as an operator starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_BIN = Path(sys.executable).parent
# Patience for a machine that is busy; each of them ends within a few.
_ENDS_WITHIN_SECONDS = 60

COMMANDS = {
    "manage.py": [sys.executable, "manage.py", "migrate", "--noinput"],
    "sweeper": [sys.executable, "manage.py", "sweep_payouts"],
    "web": [str(_BIN / "gunicorn"), "--config", "deploy/gunicorn.conf.py", "--bind", "127.0.0.1:0"],
    "worker": [
        *(str(_BIN / "celery"), "--app", "config", "worker"),
        *("--queues", "payouts,callbacks,exports", "--concurrency", "1"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    ],
}

# Complete and right, except that nothing listens at these addresses.
ENVIRONMENT = {
    "DJANGO_SECRET_KEY": "secret-of-a-test",
    "DJANGO_ALLOWED_HOSTS": "localhost",
    "POSTGRES_HOST": "127.0.0.1",
    "POSTGRES_PORT": "1",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
}


@dataclass(frozen=True)
class Ended:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def sentences(self) -> list[str]:
        """What the process says for itself, without what gunicorn and Celery say."""
        return [line.removeprefix("payouts: ") for line in self.stderr.splitlines() if line.startswith("payouts: ")]


def run(command: list[str], state_directory: Path, **settings: str) -> Ended:
    """Run the command until it ends. Nothing of this process's environment gets there; an empty setting is unset."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(state_directory), "PAYOUTS_STATE_DIR": str(state_directory)}
    given = {name: value for name, value in (ENVIRONMENT | settings).items() if value}
    done = subprocess.run(
        command,
        env=environment | given,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_ENDS_WITHIN_SECONDS,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def run_all(command: list[str], state_directory: Path, all_settings: list[dict[str, str]]) -> list[Ended]:
    """Run the command with each of the settings, as many at a time as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda settings: run(command, state_directory, **settings), all_settings))


def python(code: str, state_directory: Path, **settings: str) -> Ended:
    return run([sys.executable, "-c", code], state_directory, **settings)
