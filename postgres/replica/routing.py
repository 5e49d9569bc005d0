"""Reads that may be a little old go to a replica, where there is one that is up to date (docs/adr/0018).

The list, its sums and its exports do, by saying so: inside `reading()`, or through `read(function)`. Everything else
has the primary: every write, and every read that must show what was just written.
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

#: A statement that took too long there would take too long here.
QUERY_CANCELED: Final = "57014"
#: Classes of errors (PostgreSQL's appendix A) after which the next statement would fare no better: the connection, the
#: server's resources, its operator, its system, its defects.
BROKEN: Final = ("08", "53", "57", "58", "XX")

replica_monitor = Monitor(LagProbe().measure)
#: Where the reads of the block go that is being executed; None: they are in no such block.
_database: ContextVar[str | None] = ContextVar("payouts_replica_database", default=None)


class ReplicaRouter:
    """Django asks it where a query goes."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str:
        del model, hints
        return _database.get() or PRIMARY

    def db_for_write(self, model: type[Model], **hints: Any) -> str:
        del model, hints
        return PRIMARY

    def allow_relation(self, first: Model, second: Model, **hints: Any) -> bool:
        """Both are the same data."""
        del first, second, hints
        return True

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        del app_label, hints
        return db == PRIMARY


def is_configured() -> bool:
    """Say whether this installation has a replica."""
    return REPLICA in connections.settings


def health(*, patience_seconds: float = 0.0) -> Health:
    """Return what is known of the replica; where nothing is yet, wait for the first look at it for so long."""
    return replica_monitor.health(patience_seconds=patience_seconds)


def choose() -> str:
    """Return the alias of the database that a read which may be a little old goes to now.

    Inside a block of `reading()` that of the block. Inside a transaction on the primary it is the primary, for who has
    written there wants to read what he wrote.
    """
    if (chosen := _database.get()) is not None:
        return chosen
    if not is_configured() or connections[PRIMARY].in_atomic_block:
        return PRIMARY
    return REPLICA if health().usable else PRIMARY


@contextmanager
def reading() -> Iterator[str]:
    """Send the reads of this block where `choose()` says, and yield that alias.

    All of them go to the same database. It may fail in the middle of them: `read` helps. A generator that hands out
    rows must enter the block itself, and is inside of it whenever it is not running; `.using(choose())` is simpler.
    """
    with _reading_from(choose()) as database:
        yield database


def read(function: Callable[[], Result]) -> Result:
    """Call the function inside `reading()`, and once more on the primary if the replica fails.

    So a request never fails because an optional machine did. The function only reads, and may be called twice.
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
    """Note that a read from the replica has failed with this. If its connection or its server did, it is out of use."""
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
