"""Several databases on the server of the environment, of which one at a time is the default."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

MARKS = ("BEGIN", "COMMIT", "ROLLBACK", "SET ", "SAVEPOINT", "RELEASE", "INSERT", "UPDATE")


def use(name: str) -> None:
    """Let this database be the default from now on."""
    connection.close()
    connections["default"].settings_dict["NAME"] = name


def create(name: str, *, template: str | None = None) -> None:
    """Create a database, empty or as a copy; one of that name is dropped first."""
    connection.close()
    with connections["default"]._nodb_cursor() as cursor:  # noqa: SLF001 - Django's tests create theirs like this
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        cursor.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def statements_of(action: Callable[[], object], *, of: str) -> list[str]:
    """Return the statements, as PostgreSQL got them, that read the table of this name."""
    with CaptureQueriesContext(connection) as queries:
        action()
    return [query["sql"] for query in queries if of in query["sql"] and not query["sql"].startswith(MARKS)]


def explain(statement: str) -> tuple[float, str]:
    """Return what it takes to plan and execute the statement, in milliseconds, and the plan."""
    with connection.cursor() as cursor:
        # Psycopg would take a percent sign for a placeholder; without parameters it takes none.
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, SUMMARY ON) {statement}")
        lines = [line for (line,) in cursor.fetchall()]
    times = [line for line in lines if line.startswith(("Planning Time", "Execution Time"))]
    return sum(float(line.split()[2]) for line in times), "\n".join(lines)


@contextmanager
def taking() -> Iterator[list[float]]:
    """Yield a list that holds, afterwards, the seconds that the block took and its share of the processor."""
    taken: list[float] = []
    wall, cpu = time.perf_counter(), time.process_time()
    yield taken
    taken += [time.perf_counter() - wall, time.process_time() - cpu]


def scalar(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]
