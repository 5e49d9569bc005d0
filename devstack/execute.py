"""`exec -- COMMAND`: run one command beside a temporary PostgreSQL and Redis."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from devstack import errors
from devstack.processes import children, failure, launcher, output
from devstack.servers import services

_POLL_SECONDS = 0.02
_STOP_SECONDS = 10.0


def execute(command: Sequence[str]) -> int:
    """Run the command with the environment of fresh, fast, throw-away services; return its exit code."""
    directory = Path(tempfile.mkdtemp(prefix="payouts-"))
    with launcher.Launcher(directory, terminal=output.Silence(), temporary=True) as launch:
        try:
            started = services.start(launch, durable=False)
            return _run(command, launch, environment=started.environment)
        except errors.StopRequestedError:
            return 130
        except errors.ProcessEndedError as ended:
            failure.explain(launch.children, ended, say=lambda line: print(line, file=sys.stderr))
            return ended.exit_code


def _run(command: Sequence[str], launch: launcher.Launcher, *, environment: dict[str, str]) -> int:
    """Run in the foreground, in our process group: the command may read the terminal and receives Ctrl-C itself."""
    try:
        process = launch.children.start_foreground(command, environment=environment)
    except OSError as error:
        raise errors.UsageError(f"{command[0]} cannot be started: {error.strerror}.") from error
    asked_at: float | None = None
    while process.poll() is None:
        # Ctrl-C has reached the command. A signal to us alone is passed on once; later the command is killed.
        if launch.stop_signal not in (None, signal.SIGINT) and asked_at is None:
            process.terminate()
            asked_at = time.monotonic()
        if asked_at is not None and time.monotonic() - asked_at > _STOP_SECONDS / 2:
            process.kill()
        time.sleep(_POLL_SECONDS)
    return children.exit_code(process.returncode)
