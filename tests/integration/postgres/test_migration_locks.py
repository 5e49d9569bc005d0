"""A migration's lock of a table that something long is using."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection, transaction

from postgres import migration_locks
from postgres.migration_locks import Limits

pytestmark = pytest.mark.django_db(transaction=True)

TABLE = "accounts_merchant"
HURRIED = Limits(try_ms=50, pause_seconds=0.0, tries=2)


@pytest.fixture
def dump() -> Iterator[None]:
    """A transaction that has read the table and goes on."""
    other = connection.copy()
    try:
        other.set_autocommit(autocommit=False)
        with other.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {TABLE}")
        yield
    finally:
        other.close()


def lock_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return str(cursor.fetchone()[0])


def take(table: str = TABLE) -> None:
    migration_locks.lock(table, HURRIED)(None, None)


@pytest.mark.usefixtures("dump")
def test_is_given_up_with_a_sentence() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError) as refused:
        take()

    assert str(refused.value) == (
        "The table accounts_merchant is in use by something long, such as a backup or a vacuum. Nothing was changed: "
        "migrate again when it has ended."
    )


@pytest.mark.usefixtures("dump")
def test_leaves_the_transaction_usable_for_another_try() -> None:
    before = lock_timeout()

    with transaction.atomic():
        with pytest.raises(RuntimeError):
            take()

        assert lock_timeout() == before


def test_keeps_others_out_once_it_is_taken() -> None:
    before = lock_timeout()

    with transaction.atomic(), connection.cursor() as cursor:
        take()

        cursor.execute(
            "SELECT mode FROM pg_locks WHERE relation = %s::regclass AND pid = pg_backend_pid() AND granted "
            "AND mode = 'AccessExclusiveLock'",
            [TABLE],
        )

        assert cursor.fetchall() == [("AccessExclusiveLock",)]
        assert lock_timeout() == before
