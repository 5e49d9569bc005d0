"""Django's PostgreSQL, whose prepared statements outlive a change of the schema.

Django looks for its database backends in a module of this name.

# Note [Statements that were prepared before a change]
psycopg prepares a statement at its fifth use (config/settings.py), and PostgreSQL keeps what it understood of it: the
types of parameters and columns. After `ALTER COLUMN ... TYPE`, or when a type is dropped and made again, it refuses the
statement at every use, and psycopg goes on to use it. A rollback makes psycopg forget what it has prepared, so a
transaction fails once: nothing of it was done, and the next one is well. A statement outside of a transaction has no
rollback, and would fail until the process ends. So here it is executed a second time, by a session that has forgotten.
The first time it has failed before it began, so it is carried out once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from django.db import DatabaseError
from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

logger = logging.getLogger(__name__)

# What PostgreSQL says about a statement whose types are no longer what they were when it was prepared (its appendix A):
# other columns come back (0A000), a parameter no longer fits its column (42804) or its operator (42883), or its type is
# gone (42704, XX000). One that is wrong in itself says the same, and says it a second time.
STALE: Final = frozenset({"0A000", "42804", "42883", "42704", "XX000"})


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute_wrappers.append(_execute)


def _execute(
    execute: Callable[..., Any],
    sql: Any,
    parameters: Any,
    many: bool,  # noqa: FBT001 - Django calls it so.
    context: Mapping[str, Any],
) -> Any:
    """Execute a statement, and once more if it was prepared before a change and nothing holds the failure."""
    try:
        return execute(sql, parameters, many, context)
    except DatabaseError as error:
        sqlstate = getattr(error.__cause__, "sqlstate", None)
        session = context["connection"].connection
        if many or sqlstate not in STALE or session.info.transaction_status != TransactionStatus.IDLE:
            raise
        logger.warning("database.statements.forgotten", extra={"sqlstate": sqlstate})
    # psycopg forgets them at a rollback. Cursors that are held open outlive it.
    with session.transaction(force_rollback=True):
        pass
    return execute(sql, parameters, many, context)
