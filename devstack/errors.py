"""Errors of the development stack. The message is printed for the user, and nothing else."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot go on. The message says why and what to do about it."""

    exit_code = 1


class UsageError(StackError):
    """The command line or the environment asks for something that does not exist."""

    exit_code = 2


class StopRequestedError(Exception):
    """The launcher was asked to stop (Ctrl-C, SIGTERM, SIGHUP): a normal end."""


class ProcessEndedError(Exception):
    """A process of the stack ended unexpectedly. The stack ends too, with the same exit code."""

    def __init__(self, *, name: str, exit_code: int) -> None:
        super().__init__(f"{name} ended with exit code {exit_code}.")
        self.name = name
        self.exit_code = exit_code
