"""Outlive the launcher by a few seconds and leave nothing of it behind.

The launcher writes one JSON line for each process that it starts and each path that must not stay. When the
pipe ends, the launcher is dead, however it died: the guardian stops what is left and removes those paths. It also
holds the lock of the state directory until then, so that the next launcher starts only when the last process is gone.
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
            # Who reads our output waits for its end, and must not wait for the guardian too.
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
        """Remove this file or directory in the end; the launcher may have done it by then."""
        self._tell({"remove": str(path)})

    def dismiss(self) -> None:
        """Let the guardian finish its work and wait for it; all that is left to do should be nothing."""
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
            # It was killed. The launcher notices that as the end of a process, and stops.
            return


def main() -> None:
    """Read until the launcher is gone, then clean up."""
    for name in _IGNORED:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    targets, paths = read_orders(sys.stdin.buffer)
    stopping.stop(targets)
    for path in paths:
        _remove(path)


def read_orders(lines: IO[bytes]) -> tuple[list[stopping.Target], list[Path]]:
    """Return what is still to stop and to remove when the pipe ends."""
    targets: dict[int, stopping.Target] = {}
    paths: list[Path] = []
    for line in lines:
        if not line.endswith(b"\n"):
            break  # The launcher died while it wrote; what it started last is bound to it by the death signal.
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
