"""The store: an SQLite file of one bank, written before each response. Other processes may read it at any time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from sandbox_bank import errors

_VERSION = 1
_BUSY_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE transfers (
    reference TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    amount TEXT NOT NULL,
    currency TEXT NOT NULL,
    recipient TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('accepted', 'paid', 'rejected', 'returned')),
    final INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    -- The delivery of its callbacks.
    copies INTEGER NOT NULL,
    reversed INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    steps INTEGER NOT NULL,
    created_at REAL NOT NULL
);
-- The later statuses of a transfer, past and future.
CREATE TABLE steps (
    reference TEXT NOT NULL REFERENCES transfers,
    number INTEGER NOT NULL,
    due_at REAL NOT NULL,
    status TEXT NOT NULL,
    final INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (reference, number)
);
CREATE INDEX steps_due ON steps (due_at) WHERE done = 0;
-- One row for each movement of money. Not unique by reference: a second payment must be visible, not prevented.
CREATE TABLE executions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    reference TEXT NOT NULL,
    amount TEXT NOT NULL,
    currency TEXT NOT NULL,
    account TEXT NOT NULL,
    executed_at REAL NOT NULL
);
CREATE INDEX executions_reference ON executions (reference);
CREATE TRIGGER executions_never_change BEFORE UPDATE ON executions
    BEGIN SELECT RAISE(ABORT, 'executions are append-only'); END;
CREATE TRIGGER executions_never_go BEFORE DELETE ON executions
    BEGIN SELECT RAISE(ABORT, 'executions are append-only'); END;
CREATE TABLE requests (reference TEXT PRIMARY KEY, count INTEGER NOT NULL);
CREATE TABLE refusals (reference TEXT PRIMARY KEY, code TEXT NOT NULL);
-- The callbacks. An event with after_id waits until that one is delivered.
CREATE TABLE events (
    id TEXT PRIMARY KEY,
    reference TEXT NOT NULL REFERENCES transfers,
    body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'lost')),
    copies_left INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL NOT NULL,
    after_id TEXT NOT NULL
);
CREATE INDEX events_due ON events (due_at) WHERE state = 'waiting';
"""

# Tables that a book of an earlier bank may lack.
_ADDED = (
    "CREATE TABLE IF NOT EXISTS calls_at_once (second INTEGER PRIMARY KEY, calls INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS hidden (reference TEXT PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS lies (
        reference TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (reference, kind)
    )""",
)


class Store:
    """One connection that all threads share, for one transaction at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._descriptor = _lock_file(path)
            self._connection = _open(path)
        except OSError as error:
            raise errors.BankError(f"The book {path} cannot be used: {error.strerror}.") from error
        except sqlite3.Error as error:
            raise errors.BankError(f"The book {path} cannot be used: {error}.") from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit the block to disk, or roll it back if it raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # A COMMIT that fails on a full disk has already rolled back.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        with self._lock:
            self._connection.close()
            os.close(self._descriptor)


def _lock_file(path: Path) -> int:
    """Lock the store for this process, by a file beside it: closing another descriptor of the store's own file would
    drop the locks of SQLite."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise errors.BankError(f"Another bank uses the book {path}. Stop it first, or take another book.") from None
    return descriptor


def _open(path: Path) -> sqlite3.Connection:
    # SQLite would create the file with the permissions of the umask. It holds account numbers.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    # Before any change: the file may be another database.
    is_new = _is_new(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    # COMMIT returns after the log is on disk, so a response survives a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if is_new:
        # In one transaction: a bank that is killed here must be able to start again.
        connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")
    for statement in _ADDED:
        connection.execute(statement)
    return connection


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    """Say whether the file is empty; raise BankError if it is not a store of this version."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if version != _VERSION and not (version == 0 and is_empty):
        raise errors.BankError(f"{path} is not the book of a sandbox bank of this version. Take another file.")
    return bool(is_empty)
