"""Table locks for migrations of tables in use."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db import OperationalError, connection, transaction

from postgres.errors import is_locked

# Requests queue behind a waiting lock, so the limit is below the wait of a request with a key (2 s). It is above
# deadlock_timeout (1 s), after which PostgreSQL cancels an autovacuum that blocks the lock.
LOCK_TIMEOUT_MS = 1500
# Pause for queued requests. If a dump or a report holds the table for longer than all tries, the migration fails.
PAUSE_SECONDS = 1.0
TRIES = 48


def lock(table: str) -> Callable[[Any, Any], None]:
    """Return a step that locks the table for the migration. Requests wait up to LOCK_TIMEOUT_MS a try."""

    def take(apps: Any, schema_editor: Any) -> None:
        del apps, schema_editor
        for _ in range(TRIES):
            if _take(table):
                return
            time.sleep(PAUSE_SECONDS)
        raise RuntimeError(
            f"The table {table} is in use by something long, such as a backup or a vacuum. Nothing was changed: "
            "migrate again when it has ended."
        )

    return take


def _take(table: str) -> bool:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'")
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            cursor.execute("SET LOCAL lock_timeout = DEFAULT")
    except OperationalError as error:
        if not is_locked(error):
            raise
        return False
    return True
