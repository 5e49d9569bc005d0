"""Statements of lists and sums are planned anew for the values that they have.

PostgreSQL plans a prepared statement a few times for its values, and may then keep one plan for all. One that is good
for a merchant with a thousand payouts (find them all, and sort them) takes seconds for a merchant with a million.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connections

from postgres.errors import timed_out


class StatementTimedOut(Exception):
    """PostgreSQL has ended a statement because it took longer than `statement_timeout`."""


@contextmanager
def unprepared(using: str) -> Iterator[None]:
    """Prepare no statement of this connection meanwhile. The parameters travel apart from the SQL all the same.

    Raises StatementTimedOut if PostgreSQL ends one because of its time limit.
    """
    connection = connections[using]
    connection.ensure_connection()
    raw = connection.connection
    threshold, raw.prepare_threshold = raw.prepare_threshold, None
    try:
        yield
    except OperationalError as error:
        if timed_out(error):
            raise StatementTimedOut from error
        raise
    finally:
        raw.prepare_threshold = threshold
