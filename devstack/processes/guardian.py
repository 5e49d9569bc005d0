"""Clean up after the launcher, however it ends.

The launcher writes one JSON line for each process that it starts and each path that must be removed. The end of the
pipe means that the launcher is dead: the guardian stops the remaining processes and removes those paths. Until then it
holds the lock of the state directory, so that the next launcher starts only after the last process has ended.
Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from devstack.processes import stopping

_IGNORED = ("SIGINT", "SIGTERM", "SIGHUP")


class Guardian:
    """The launcher's end of the pipe."""

    def __init__(self, *, keep_open: tuple[int, ...]) -> None:
        """Start the guardian in its own session, so that no signal for the launcher's group reaches it."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "devstack.processes.guardian"],
            stdin=subprocess.PIPE,
            # A reader of our output waits until every writer has closed it, so the guardian must not hold it.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=keep_open,
            cwd=Path(__file__).resolve().parents[2],
        )

    def watch(self, target: stopping.Target) -> None:
        self._tell({"watch": target.as_dict()})

    def forget(self, pid: int) -> None:
        self._tell({"forget": pid})

    def remove(self, path: Path) -> None:
        """Remove this file or directory at the end, if it still exists."""
        self._tell({"remove": str(path)})

    def dismiss(self) -> None:
        """Let the guardian finish, and wait for it. Normally nothing is left to clean up."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.wait()

    def _tell(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            # The guardian was killed. `Children.check` notices that, and the launcher stops.
            return


def main() -> None:
    """Read until the launcher has ended, then clean up."""
    for name in _IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    targets, paths = read_orders(sys.stdin.buffer)
    stopping.stop(targets)
    for path in paths:
        _remove(path)


def read_orders(lines: IO[bytes]) -> tuple[list[stopping.Target], list[Path]]:
    """Return the processes to stop and the paths to remove, at the end of the pipe."""
    targets: dict[int, stopping.Target] = {}
    paths: list[Path] = []
    for line in lines:
        if not line.endswith(b"\n"):
            break  # The launcher died while writing. The death signal ends the process that it started last.
        message = json.loads(line)
        if "watch" in message:
            targets[message["watch"]["pid"]] = stopping.Target(**message["watch"])
        elif "forget" in message:
            targets.pop(message["forget"], None)
        else:
            paths.append(Path(message["remove"]))
    return list(targets.values()), paths


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
