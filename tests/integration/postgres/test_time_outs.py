"""Time-outs behind a pooler that drops start-up options. A connection without any stands for one through a pooler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.db import connections, transaction
from psycopg import errors

from payouts import checks
from postgres import snapshots, time_outs

pytestmark = pytest.mark.django_db(transaction=True)

WANTED = "-c jit=off -c lock_timeout=2s -c statement_timeout=200ms -c idle_in_transaction_session_timeout=30s"


@contextmanager
def connected(*, passes_options: bool) -> Iterator[Any]:
    """Have another connection in the place of the default one."""
    other = connections.create_connection("default")
    if not passes_options:
        # Given to libpq, they take the place of PGOPTIONS.
        other.settings_dict = {**other.settings_dict, "OPTIONS": {**other.settings_dict["OPTIONS"], "options": ""}}
    before, connections["default"] = connections["default"], other
    try:
        with closing(other):
            yield other
    finally:
        connections["default"] = before


def time_outs_of(connection: Any) -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in time_outs.NAMES)}")
        found: tuple[str, ...] = cursor.fetchone()
    return found


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", WANTED)


@pytest.mark.usefixtures("wanted")
class TestTransactions:
    def test_set_what_was_dropped(self) -> None:
        with connected(passes_options=False) as connection:
            with transaction.atomic():
                inside = time_outs_of(connection)
            outside = time_outs_of(connection)

        assert (inside, outside) == (("2s", "200ms", "30s"), ("0", "0", "0"))

    def test_may_choose_their_isolation_all_the_same(self) -> None:
        """It is chosen before the first query."""
        with connected(passes_options=False) as connection, snapshots.reading("default"):
            connection.cursor().execute("SELECT 1")

            assert time_outs_of(connection) == ("2s", "200ms", "30s")

    def test_are_ended_by_it(self) -> None:
        with connected(passes_options=False) as connection:
            with pytest.raises(Exception, match="statement timeout") as raised, transaction.atomic():
                connection.cursor().execute("SELECT pg_sleep(5)")
            after = time_outs_of(connection)

        assert isinstance(raised.value.__cause__, errors.QueryCanceled)
        assert after == ("0", "0", "0")

    def test_set_nothing_where_the_session_has_it(self) -> None:
        with connected(passes_options=True) as connection, transaction.atomic():
            connection.cursor().execute("SET lock_timeout = '3s'")

            assert time_outs_of(connection) == ("3s", "200ms", "30s")


class TestEmptyOptions:
    """PGOPTIONS is empty for a pooler that refuses start-up options."""

    def test_leave_the_time_outs_wanted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGOPTIONS", "")
        # Set by ask_for, and taken back with the test.
        monkeypatch.setenv("PGOPTIONS_WANTED", "")
        monkeypatch.delenv("PGOPTIONS_WANTED")
        time_outs.ask_for(WANTED)

        with connected(passes_options=True) as connection, transaction.atomic():
            assert time_outs_of(connection) == ("2s", "200ms", "30s")

    def test_of_a_migration_want_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PGOPTIONS", "")
        # Asked for by whatever this process has imported.
        monkeypatch.delenv("PGOPTIONS_WANTED", raising=False)

        with connected(passes_options=True) as connection, transaction.atomic():
            assert time_outs_of(connection) == ("0", "0", "0")


class TestCheck:
    """tests/chaos/test_pgbouncer.py has the warning."""

    def test_has_nothing_to_say_of_a_server(self) -> None:
        assert checks.check_time_outs(None, databases=["default"]) == []
        assert checks.check_time_outs(None) == []
