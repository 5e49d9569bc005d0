"""Reads that may be a little old go to a replica, if there is one that is up to date (docs/adr/0018).

List, summary and exports choose so explicitly: inside `reading()`, or through `read(function)`. All else goes to
the primary: every write, and every read that must show what was just written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connections
from django.db.models import Model

from postgres.replica import monitor
from postgres.replica.lag import PRIMARY, REPLICA, LagProbe
from postgres.replica.monitor import Health, Monitor

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: A query that is too slow there is too slow here.
QUERY_CANCELED: Final = "57014"
#: Classes of errors (PostgreSQL's appendix A) after which the next statement would fail as well: connection, resources,
#: operator, system, internal error.
BROKEN: Final = ("08", "53", "57", "58", "XX")

replica_monitor = Monitor(LagProbe().measure)
#: Database of the current `reading()` block. None: no block.
_database: ContextVar[str | None] = ContextVar("payouts_replica_database", default=None)


class ReplicaRouter:
    """Django's database router."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        del model, hints
        return _database.get() or PRIMARY

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        del model, hints
        return PRIMARY

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        """Both hold the same data."""
        del first, second, hints
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        del app_label, hints
        return db == PRIMARY


def is_configured() -> bool:
    """Return whether there is a replica."""
    return REPLICA in connections.settings


def health(*, patience_seconds: float = 0.0) -> Health:
    """Return the replica's health. If there is none yet, wait up to `patience_seconds`."""
    return replica_monitor.health(patience_seconds=patience_seconds)


def choose() -> str:
    """Return the alias of the database for a read that may be a little old.

    Inside a block of `reading()` it is that of the block. Inside a transaction on the primary it is the primary, so
    that the transaction reads its own writes.
    """
    if (chosen := _database.get()) is not None:
        return chosen
    if not is_configured() or connections[PRIMARY].in_atomic_block:
        return PRIMARY
    return REPLICA if health().usable else PRIMARY


@contextmanager
def reading() -> Iterator[str]:
    """Send the reads of this block where `choose()` says, and yield that alias.

    All of them go to the same database. If it may fail halfway, use `read`. A generator of rows must enter the block
    itself, and leaves its caller inside the block between rows; `.using(choose())` is simpler.
    """
    with _reading_from(choose()) as database:
        yield database


def read(function: Callable[[], Result]) -> Result:
    """Call the function inside `reading()`, and once more on the primary if the replica fails.

    So a request never fails because of an optional machine. The function only reads, and may run twice.
    """
    with reading() as database:
        if database == PRIMARY:
            return function()
        try:
            return function()
        except (DatabaseError, InterfaceError) as error:
            if _sqlstate(error) == QUERY_CANCELED:
                raise
            report(error)
    with _reading_from(PRIMARY):
        return function()


def report(error: DatabaseError | InterfaceError) -> None:
    """Log a failed read. If the connection or the server failed, take the replica out of use."""
    sqlstate = _sqlstate(error)
    logger.warning("replica.read.failed", extra={"sqlstate": sqlstate, "error": monitor.sentence(error)})
    if isinstance(error, OperationalError | InterfaceError) and (sqlstate is None or sqlstate.startswith(BROKEN)):
        connections[REPLICA].close()
        replica_monitor.mark_failed(error)


@contextmanager
def _reading_from(database: str) -> Iterator[str]:
    token = _database.set(database)
    try:
        yield database
    finally:
        _database.reset(token)


def _sqlstate(error: Exception) -> str | None:
    return getattr(error.__cause__, "sqlstate", None)
