"""Turn this process into a child of the launcher: change the user, bind it to the launcher's life, exec.

Run as a script between fork and exec, because the launcher has threads and Python code must not run in the fork of
a process that has threads. Standard library only; imports nothing of ours, so that it starts in milliseconds.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_SIGNALS_RESET = ("SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGXFSZ")


def main(arguments: list[str]) -> int:
    """Apply the options in front of `--` and replace this process with the command behind it."""
    split = arguments.index("--")
    options, command = _parse(arguments[:split]), arguments[split + 1 :]
    _reset_signals()
    if options.uid is not None:
        _become(uid=options.uid, gid=options.gid)
    # A change of user clears the death signal, so it comes last.
    set_death_signal(options.death_signal)
    if os.getppid() != options.parent:
        return 1
    try:
        os.execvpe(command[0], command, os.environ)  # noqa: S606 - the command is the launcher's own
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}.", file=sys.stderr)
        return 127


def set_death_signal(number: int) -> None:
    """Ask the kernel to signal this process when its parent dies; elsewhere than on Linux the guardian does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    return parser.parse_args(arguments)


def _reset_signals() -> None:
    """Ignored signals survive exec: a launcher in the background ignores SIGINT, and Python ignores SIGPIPE."""
    for name in _SIGNALS_RESET:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def _become(*, uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
