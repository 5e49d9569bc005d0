"""Start children that cannot outlive the launcher, collect their output, and stop them.

Three defences, each for the case that the one before cannot handle: the launcher stops its children in order; if the
launcher is killed, the guardian does; if both are killed, the kernel signals each child (Linux). Start children from
the main thread only: the kernel's signal fires when the *thread* that forked ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack import errors
from devstack.processes import guardian, identity, logs, output, stopping

CHECKOUT = Path(__file__).resolve().parents[2]
_CHILD_SCRIPT = Path(__file__).with_name("child.py")
_POLL_SECONDS = 0.02
_LINE_BYTES_MAX = 8192
# A migration of a large database is the longest command there is.
_COMMAND_SECONDS = 600.0


@dataclass(frozen=True)
class User:
    """The user of a child that must not run as root."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to start and how to stop it."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    phase: int = stopping.PHASE_APPLICATION
    stop_signal: int = signal.SIGTERM
    address: str | None = None
    directory: Path = CHECKOUT
    user: User | None = None
    pass_fds: tuple[int, ...] = ()
    #: Whether the terminal shows its output. The log file always has it.
    echo: bool = False
    stdin: bytes | None = None


@dataclass(kw_only=True)
class Child:
    """A process of the stack."""

    program: Program
    process: subprocess.Popen[bytes]
    target: stopping.Target
    log: logs.LogFile
    started: str | None
    pump: threading.Thread | None = None
    #: Whether the end of this process ends the stack.
    essential: bool = True

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int:
        return self.process.pid


class Children:
    """All processes of one launcher."""

    def __init__(
        self,
        *,
        guard: guardian.Guardian,
        log_directory: Path,
        stop_requested: Callable[[], bool],
        terminal: output.Terminal,
    ) -> None:
        self._guard = guard
        self.log_directory = log_directory
        self._stop_requested = stop_requested
        self._terminal = terminal
        self._running: list[Child] = []

    @property
    def running(self) -> tuple[Child, ...]:
        return tuple(self._running)

    def start(self, program: Program) -> Child:
        """Start a child in a session of its own and bind its life to ours."""
        process = subprocess.Popen(
            [*_wrapper(program.stop_signal, program.user), *program.command],
            stdin=subprocess.PIPE if program.stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=program.environment,
            cwd=program.directory,
            pass_fds=program.pass_fds,
            start_new_session=True,
        )
        target = stopping.Target(
            name=program.name, pid=process.pid, phase=program.phase, stop_signal=program.stop_signal
        )
        self._guard.watch(target)
        child = Child(
            program=program,
            process=process,
            target=target,
            log=logs.LogFile(self.log_directory / f"{program.name}.log"),
            started=identity.started_at(process.pid),
        )
        self._running.append(child)
        child.pump = threading.Thread(target=self._pump, args=(child,), daemon=True)
        child.pump.start()
        _feed(process, program.stdin)
        return child

    def start_foreground(self, command: Sequence[str], *, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a command that keeps our terminal and our process group, and dies with us too."""
        process = subprocess.Popen([*_wrapper(signal.SIGTERM, None), *command], env=environment)
        target = stopping.Target(name="command", pid=process.pid, phase=stopping.PHASE_APPLICATION, group=False)
        self._guard.watch(target)
        return process

    def run(self, program: Program) -> None:
        """Run a command to its end and watch the other children; raise ProcessEndedError if it fails."""
        child = self.start(program)
        self.wait_for(
            lambda: child.process.poll() is not None, what=program.name, seconds=_COMMAND_SECONDS, ignore=child
        )
        self._forget(child)
        if child.process.returncode != 0:
            raise errors.ProcessEndedError(name=program.name, exit_code=exit_code(child.process.returncode))

    def wait_for(
        self, condition: Callable[[], bool], *, what: str, seconds: float, ignore: Child | None = None
    ) -> None:
        """Wait until the condition holds. Raise if a child ends or a stop is requested."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.check(ignore=ignore)
            if time.monotonic() > deadline:
                raise errors.StackError(
                    f"{what} was not ready within {seconds:.0f} s; its log is in {self.log_directory}."
                )
            time.sleep(_POLL_SECONDS)

    def check(self, *, ignore: Child | None = None) -> None:
        """Raise StopRequestedError or ProcessEndedError if the stack must end; otherwise return at once."""
        if self._stop_requested():
            raise errors.StopRequestedError
        for child in self.running:
            if child is ignore or child.process.poll() is None:
                continue
            # Its pid may be reused from now on.
            if not child.essential:
                self._forget(child)
            else:
                raise errors.ProcessEndedError(name=child.name, exit_code=exit_code(child.process.returncode))
        if self._guard.process.poll() is not None:
            raise errors.ProcessEndedError(name="guardian", exit_code=exit_code(self._guard.process.returncode))

    def stop_all(self) -> None:
        """Stop every child and what it started, in order; nothing is left when this returns."""
        stopping.stop([child.target for child in self._running], reap=self._reap)
        for child in list(self._running):
            self._forget(child)

    def discard(self, child: Child) -> None:
        """Stop and forget one child: it is not needed, or it ended and is started again."""
        stopping.stop([child.target], reap=self._reap)
        self._forget(child)

    def was_shown(self, name: str) -> bool:
        """Say whether the terminal has shown the output of this process."""
        return any(child.name == name and child.program.echo for child in self._running)

    def tail(self, name: str) -> list[str]:
        return logs.LogFile(self.log_directory / f"{name}.log").tail()

    def _reap(self) -> None:
        for child in self._running:
            child.process.poll()

    def _forget(self, child: Child) -> None:
        self._running.remove(child)
        self._guard.forget(child.pid)
        if child.pump is not None:
            # The last lines may still be in the pipe. Bounded, because a grandchild may keep the pipe open.
            child.pump.join(0.5)
        child.log.close()

    def _pump(self, child: Child) -> None:
        assert child.process.stdout is not None
        while line := child.process.stdout.readline(_LINE_BYTES_MAX):
            child.log.write(line)
            if child.program.echo:
                self._terminal.line(child.name, line.decode("utf-8", "replace").rstrip())


def exit_code(returncode: int) -> int:
    """Return the exit code as a shell does: 128 plus the signal for a killed process."""
    return 128 - returncode if returncode < 0 else returncode


def _wrapper(stop_signal: int, user: User | None) -> list[str]:
    become = [f"--uid={user.uid}", f"--gid={user.gid}"] if user else []
    bound = [f"--parent={os.getpid()}", f"--death-signal={int(stop_signal)}"]
    return [sys.executable, "-I", "-S", str(_CHILD_SCRIPT), *bound, *become, "--"]


def _feed(process: subprocess.Popen[bytes], stdin: bytes | None) -> None:
    if stdin is None or process.stdin is None:
        return
    try:
        process.stdin.write(stdin)
        process.stdin.close()
    except BrokenPipeError:
        return  # The process has ended; its exit code shows why.
