"""Transactions that see one moment of the database, however many statements they have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import connections, transaction

_READING: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_WRITING: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"


@contextmanager
def reading(using: str) -> Iterator[None]:
    """Let all statements inside see the same snapshot. A hot standby can do it as well.

    Inside a transaction of the caller's they see what that one sees: its isolation can no longer be changed.
    """
    with _one_snapshot(_READING, using):
        yield


@contextmanager
def writing(using: str, *, lock: str) -> Iterator[None]:
    """The same for a transaction that writes, and that waits for its turn first: `lock` is a statement LOCK TABLE.

    It takes a lock of a table because a function that takes an advisory lock is called from a SELECT, and the snapshot
    is as old as that: another one that held the lock could commit in between, unseen. LOCK TABLE needs no snapshot, so
    the first statement behind it sees all that was committed under the lock.
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
