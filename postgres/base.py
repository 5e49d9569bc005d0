"""Django's PostgreSQL backend, with prepared statements that outlive a migration, and a check of connections that costs
nothing.

Django looks for its database backends in a module of this name.

# Note [Statements that were prepared before a change]
psycopg prepares a statement at its fifth use (config/settings.py), and PostgreSQL keeps the types of its parameters and
columns. After `ALTER COLUMN ... TYPE`, or when a type is dropped and created again, PostgreSQL refuses the statement at
every use, and psycopg keeps using it. A rollback makes psycopg forget its prepared statements, so a transaction fails
only once: it changed nothing, and the next one succeeds. A statement outside of a transaction has no rollback, and
would fail until the process ends. So this backend makes psycopg forget, and executes the statement again. The first try
failed before it began, so the statement takes effect once.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db import DatabaseError
from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

from postgres import time_outs

logger = logging.getLogger(__name__)

# PostgreSQL's errors for a statement whose types have changed since it was prepared (its appendix A): the columns
# changed (0A000), a parameter does not fit its column (42804) or operator (42883), or its type is gone (42704, XX000).
# A statement that is wrong in itself fails in the same way, and fails again.
STALE: Final = frozenset({"0A000", "42804", "42883", "42704", "XX000"})


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(_execute)
        #: Time-outs that a pooler has dropped, so that each transaction sets them.
        self._dropped_time_outs: dict[str, str] = {}

    def init_connection_state(self) -> None:
        super().init_connection_state()
        self._dropped_time_outs = time_outs.dropped(self.connection)

    def _set_autocommit(self, autocommit: bool) -> None:  # noqa: FBT001 - Django calls it so.
        super()._set_autocommit(autocommit)  # type: ignore[misc] # The stubs lack it.
        if autocommit or not self._dropped_time_outs:
            return
        try:
            with self.wrap_database_errors:
                time_outs.set_locally(self.connection, self._dropped_time_outs)
        except DatabaseError:
            # Django believes that no transaction has begun. It opens another connection for the next statement.
            self.connection.close()
            raise

    def is_usable(self) -> bool:
        """Tell whether the next statement has a connection.

        Django asks before the first statement of each request (CONN_HEALTH_CHECKS), and would send one of its own for
        it. A server that closes a connection says so on it, also when it was restarted or has ended the session. So a
        connection on which nothing has arrived is as good as it was. After an error the server itself is asked.
        """
        if self.connection is None or self.errors_occurred or self.connection.closed:
            return bool(super().is_usable())
        return not _has_arrived(self.connection.fileno())


def _has_arrived(descriptor: int) -> bool:
    """Tell whether there is something to read, or the end of the connection."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _execute(
    execute: Callable[..., Any],
    sql: Any,
    parameters: Any,
    many: bool,  # noqa: FBT001 - Django calls it so.
    context: Mapping[str, Any],
) -> Any:
    """Execute a statement, and again if it is stale and no transaction is open."""
    try:
        return execute(sql, parameters, many, context)
    except DatabaseError as error:
        sqlstate = getattr(error.__cause__, "sqlstate", None)
        session = context["connection"].connection
        if many or sqlstate not in STALE or session.info.transaction_status != TransactionStatus.IDLE:
            raise
        logger.warning("database.statements.forgotten", extra={"sqlstate": sqlstate})
    # A rollback makes psycopg forget. Cursors WITH HOLD survive it.
    with session.transaction(force_rollback=True):
        pass
    return execute(sql, parameters, many, context)
