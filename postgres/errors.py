"""What an error of the database is about: the one way to turn it into a refusal.

Each function takes the error of Django or of psycopg. Anything else is about nothing.
"""

from __future__ import annotations

import re
from typing import Final

from psycopg import Error
from psycopg.errors import (
    DeadlockDetected,
    IntegrityError,
    InterfaceError,
    LockNotAvailable,
    OperationalError,
    QueryCanceled,
)

# Connection exceptions, too many connections, and what a server says that is stopped or started
# (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_OF_CONNECTIONS: Final = ("08", "53300", "57P")

# REINDEX CONCURRENTLY builds an index beside the old one, which refuses duplicates under a name of its own.
_REBUILT: Final = re.compile(r"_cc(?:new|old)\d*$")


def violates(error: BaseException, *constraints: str) -> bool:
    """Tell whether the error is the violation of one of these constraints or unique indexes."""
    cause = _cause(error)
    if not isinstance(cause, IntegrityError):
        return False
    return _REBUILT.sub("", cause.diag.constraint_name or "") in constraints


def is_locked(error: BaseException) -> bool:
    """Tell whether a lock was not granted in time (lock_timeout), or not at once (NOWAIT)."""
    return isinstance(_cause(error), LockNotAvailable)


def timed_out(error: BaseException) -> bool:
    """Tell whether the statement took longer than statement_timeout."""
    return isinstance(_cause(error), QueryCanceled)


def is_busy(error: BaseException) -> bool:
    """Tell whether others held what the statement needed, so that it may succeed in a moment."""
    return is_locked(error) or timed_out(error) or isinstance(_cause(error), DeadlockDetected)


def is_connection_lost(error: BaseException) -> bool:
    """Tell whether the connection was lost or could not be made, rather than a statement refused."""
    cause = _cause(error)
    if not isinstance(cause, OperationalError | InterfaceError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_OF_CONNECTIONS)


def context_of(error: BaseException) -> str:
    """Return what PostgreSQL was doing at the error, in its words. Empty if it does not say."""
    cause = _cause(error)
    return (cause.diag.context or "") if isinstance(cause, Error) else ""


def _cause(error: BaseException) -> BaseException | None:
    return error if isinstance(error, Error) else error.__cause__
