"""For migrations of a table in use. (Django takes no module whose name begins with _ for a migration.)"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db import OperationalError, connection, transaction

from postgres.errors import is_locked

# Everybody else waits behind whoever waits for such a lock, so it is less than a request with a key waits (2 s). And it
# is more than deadlock_timeout (1 s), after which PostgreSQL has an autovacuum make room.
LOCK_TIMEOUT_MS = 1500
# Then they get a turn. Who holds the table for longer than all of it (a dump, a report) has to be waited for by hand.
PAUSE_SECONDS = 1.0
TRIES = 48


def lock(table: str) -> Callable[[Any, Any], None]:
    """Return a step that takes the table for the migration's transaction, and lets requests wait LOCK_TIMEOUT_MS."""

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
