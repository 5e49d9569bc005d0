"""Why the bank cannot start. The message is the sentence that the user reads."""

from __future__ import annotations


class BankError(Exception):
    """The bank cannot serve. The message says why and what to do about it."""

    exit_code = 1


class UsageError(BankError):
    """The command line or the environment lacks something, or has a value that cannot be used."""

    exit_code = 2
