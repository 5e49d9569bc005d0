"""Run a command as an operator does at a terminal, and see what it says."""

from __future__ import annotations

import io
from dataclasses import dataclass

from django.core.management import CommandError, call_command
from django.db import connection, transaction


@dataclass(frozen=True)
class Finished:
    exit_code: int
    stdout: str
    #: Without the line's end. For a refusal the sentence that manage.py writes.
    stderr: str


def run(*arguments: str) -> Finished:
    """Run a command and return how it ended."""
    stdout, stderr = io.StringIO(), io.StringIO()
    try:
        call_command(*arguments, stdout=stdout, stderr=stderr, no_color=True)
    except CommandError as error:
        if connection.in_atomic_block:
            # The transaction that was refused is the test's own here. Nothing was written in it before the refusal.
            transaction.set_rollback(False)
        return Finished(error.returncode, stdout.getvalue(), str(error))
    return Finished(0, stdout.getvalue(), stderr.getvalue().strip())
