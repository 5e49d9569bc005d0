"""Statements of lists and sums are planned for their own values each time.

PostgreSQL plans a prepared statement a few times for its values, and may then keep one generic plan. A plan that is
good for a merchant with a thousand payouts (find and sort all) takes seconds for a merchant with a million.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import OperationalError, connections

from postgres.errors import timed_out


class StatementTimedOut(Exception):
    """PostgreSQL canceled a statement because it exceeded `statement_timeout`."""


@contextmanager
def unprepared(using: str) -> Iterator[None]:
    """Disable prepared statements inside this block. Parameters are still sent apart from the SQL.

    Raises StatementTimedOut if PostgreSQL cancels a statement at its time limit.
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
