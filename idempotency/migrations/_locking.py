"""For migrations of a table in use. (Django takes no module whose name begins with _ for a migration.)"""

from __future__ import annotations

import time
from typing import Any

from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

# Everybody else waits behind whoever waits for such a lock, so it is less than a request with a key waits (2 s). And it
# is more than deadlock_timeout (1 s), after which PostgreSQL has an autovacuum make room.
LOCK_TIMEOUT_MS = 1500
# Then they get a turn. Who holds the table for longer than all of it (a dump, a report) has to be waited for by hand.
PAUSE_SECONDS = 1.0
TRIES = 48


def lock_records(apps: Any, schema_editor: Any) -> None:
    """Take the table for the migration's transaction, without making requests wait for longer than LOCK_TIMEOUT_MS."""
    del apps, schema_editor
    for _ in range(TRIES):
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'")
                cursor.execute("LOCK TABLE idempotency_idempotencyrecord IN ACCESS EXCLUSIVE MODE")
                cursor.execute("SET LOCAL lock_timeout = DEFAULT")
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable):
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return
    raise RuntimeError(
        "The table of idempotency records is in use by something long, such as a backup or a vacuum. Nothing was "
        "changed: migrate again when it has ended."
    )
