"""Refusals of the development stack. The message is the sentence that the user reads; nothing else is printed."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot go on; the message says why and what to do about it."""

    exit_code = 1


class UsageError(StackError):
    """The command line or the environment asks for something that does not exist."""

    exit_code = 2


class StopRequestedError(Exception):
    """Somebody asked the launcher to stop (Ctrl-C, SIGTERM, SIGHUP); it is an ordinary end."""


class ProcessEndedError(Exception):
    """A process of the stack ended by itself. The stack ends with it, and with its exit code."""

    def __init__(self, *, name: str, exit_code: int) -> None:
        super().__init__(f"{name} ended with exit code {exit_code}.")
        self.name = name
        self.exit_code = exit_code
