"""Transactions in which all statements share one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connections, transaction

_READING: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_WRITING: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


@contextmanager
def reading(using: str, *, statement_seconds_max: int | None = None) -> Iterator[None]:
    """Give all statements inside one snapshot, and each a time limit. Works on a hot standby as well.

    Inside a transaction of the caller its isolation applies, which can no longer change, and its time limit.
    """
    is_inside = connections[using].in_atomic_block
    with _one_snapshot(_READING, using):
        if statement_seconds_max is not None and not is_inside:
            _execute(f"SET LOCAL statement_timeout = {statement_seconds_max * 1000:d}", using)
        yield


@contextmanager
def writing(using: str, *, lock: str) -> Iterator[None]:
    """The same for a transaction that writes, after a lock: `lock` is a LOCK TABLE statement.

    A table lock, because an advisory lock is taken in a SELECT, which takes its snapshot before it waits. So the
    commit of the previous holder would stay unseen. LOCK TABLE takes no snapshot: the first statement after it sees all
    commits made under the lock.
    """
    with _one_snapshot(_WRITING, using):
        _execute(lock, using)
        yield


@contextmanager
def _one_snapshot(isolation: str, using: str) -> Iterator[None]:
    is_inside = connections[using].in_atomic_block
    with transaction.atomic(using=using):
        if not is_inside:
            _execute(isolation, using)
        yield


def _execute(sql: str, using: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)
