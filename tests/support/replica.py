"""A replica that is the primary once more under the other name: another connection, which may only read.

What a look at it shows is what the test says (the fixtures are in tests/integration/conftest.py).
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
from django.db import OperationalError, connections

from postgres.replica import routing
from postgres.replica.monitor import Health

WELL = Health(usable=True, lag_seconds=0.25)
GONE = Health(usable=False, reason="unreachable", error="connection refused")
PATIENCE = 10.0


class Looks:
    """What a look at the replica shows, which the test says."""

    def __init__(self) -> None:
        self.shown = WELL

    def measure(self) -> Health:
        return self.shown


class Statements:
    """Counts what is asked of a database, and fails there when it is told to."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.count = 0
        self.fail_with: type[psycopg.Error] | None = None

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
        self.count += 1
        if self.fail_with is not None:
            with connections[self.alias].wrap_database_errors:
                raise self.fail_with("as the test wants it")
        return execute(sql, params, many, context)


def connect() -> None:
    connection = connections["replica"]
    if connection.connection is None:
        with connection.wrap_database_errors:
            connection.connect()


def wait_for(looks: Looks, shown: Health) -> None:
    looks.shown = shown
    # Looked at again at once, which it would be after 2 s by itself.
    routing.replica_monitor.mark_failed(OperationalError("only to have it looked at"))
    deadline = time.monotonic() + PATIENCE
    while routing.health() != shown:
        assert time.monotonic() < deadline
        time.sleep(0.01)
