"""What an audit of the platform needs beside the book: the most calls at once, each lie, and each callback.

Each function but `CallsUnderWay` runs in a transaction of its caller.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any


class CallsUnderWay:
    """Counts the calls that are being served. A call ends when what it does is written, before its answer leaves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextlib.contextmanager
    def one_more(self) -> Iterator[int]:
        """Count one call during the block, and yield how many there are with it."""
        with self._lock:
            self._count += 1
            count = self._count
        try:
            yield count
        finally:
            with self._lock:
                self._count -= 1


def note_calls(connection: sqlite3.Connection, count: int) -> None:
    """Keep the highest count of each second."""
    connection.execute(
        "INSERT INTO calls_at_once (second, calls) VALUES (?, ?)"
        " ON CONFLICT (second) DO UPDATE SET calls = max(calls, excluded.calls)",
        (int(time.time()), count),
    )


def note_lie(connection: sqlite3.Connection, reference: str, kind: str) -> None:
    """Count a lie about a transfer."""
    connection.execute(
        "INSERT INTO lies (reference, kind, count) VALUES (?, ?, 1)"
        " ON CONFLICT (reference, kind) DO UPDATE SET count = count + 1",
        (reference, kind),
    )


def contents(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return all of it. A callback was taken if at least one copy of it was answered with 2xx."""
    calls = connection.execute("SELECT second, calls FROM calls_at_once ORDER BY second")
    lies = connection.execute("SELECT reference, kind, count FROM lies ORDER BY reference, kind")
    callbacks = connection.execute(
        "SELECT events.id, events.reference, events.body, events.copies_left < transfers.copies AS taken"
        " FROM events JOIN transfers USING (reference) ORDER BY events.id"
    )
    return {
        "calls_at_once": [dict(row) for row in calls],
        "lies": [dict(row) for row in lies],
        "callbacks": [
            {
                "id": row["id"],
                "reference": row["reference"],
                "status": json.loads(row["body"])["transfer"]["status"],
                "taken": bool(row["taken"]),
            }
            for row in callbacks
        ],
    }
