"""Table locks for migrations of tables in use."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connection, transaction

from postgres.errors import is_locked


@dataclass(frozen=True)
class Limits:
    """How long a migration waits for a table."""

    #: Requests queue behind a waiting lock, so the limit is below the wait of a request with a key (2 s). It is above
    #: deadlock_timeout (1 s), after which PostgreSQL cancels an autovacuum that blocks the lock.
    try_ms: int = 1500
    #: Pause for queued requests.
    pause_seconds: float = 1.0
    #: If a dump or a report holds the table for longer than all tries, the migration fails.
    tries: int = 48


def lock(table: str, limits: Limits = Limits()) -> Callable[[Any, Any], None]:
    """Return a step that locks the table for the migration. Requests wait up to `limits.try_ms` a try."""

    def take(apps: Any, schema_editor: Any) -> None:
        del apps, schema_editor
        for _ in range(limits.tries):
            if _take(table, try_ms=limits.try_ms):
                return
            time.sleep(limits.pause_seconds)
        raise RuntimeError(
            f"The table {table} is in use by something long, such as a backup or a vacuum. Nothing was changed: "
            "migrate again when it has ended."
        )

    return take


def _take(table: str, *, try_ms: int) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{try_ms}ms'")
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            cursor.execute("SET LOCAL lock_timeout = DEFAULT")
    except OperationalError as error:
        if not is_locked(error):
            raise
        return False
    return True
