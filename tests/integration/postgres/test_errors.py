from __future__ import annotations

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from postgres import errors

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE things (name text CONSTRAINT things_name_unique UNIQUE)")
        cursor.execute("ALTER TABLE things ADD CONSTRAINT things_name_short CHECK (length(name) < 9)")
        cursor.execute("INSERT INTO things VALUES ('taken')")


def failure_of(statement: str) -> DatabaseError:
    with pytest.raises(DatabaseError) as failed, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    return failed.value


class TestViolates:
    def test_names_the_constraint(self) -> None:
        error = failure_of("INSERT INTO things VALUES ('taken')")

        assert errors.violates(error, "things_name_unique")
        assert errors.violates(error, "another", "things_name_unique")
        assert not errors.violates(error, "things_name_short")
        assert not errors.violates(error)

    def test_takes_the_error_of_psycopg_too(self) -> None:
        cause = failure_of("INSERT INTO things VALUES ('taken')").__cause__

        assert isinstance(cause, psycopg.Error)
        assert errors.violates(cause, "things_name_unique")

    def test_knows_a_check(self) -> None:
        assert errors.violates(failure_of("INSERT INTO things VALUES ('much too long')"), "things_name_short")

    @pytest.mark.parametrize("suffix", ["_ccnew", "_ccnew1", "_ccold"])
    def test_knows_an_index_that_is_being_rebuilt(self, suffix: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE things DROP CONSTRAINT things_name_unique")
            cursor.execute(f"CREATE UNIQUE INDEX things_name_unique{suffix} ON things (name)")

        assert errors.violates(failure_of("INSERT INTO things VALUES ('taken')"), "things_name_unique")

    def test_is_of_nothing_else(self) -> None:
        error = failure_of("SELECT 1 / 0")

        assert not errors.violates(error, "things_name_unique", "")
        assert not errors.violates(ValueError(), "things_name_unique")


class TestTimedOut:
    def test_knows_a_statement_that_took_too_long(self) -> None:
        error = failure_of("SET LOCAL statement_timeout = '10ms'; SELECT pg_sleep(5)")

        assert errors.timed_out(error)
        assert errors.is_busy(error)
        assert not errors.is_locked(error)


class TestIsLocked:
    @pytest.mark.django_db(transaction=True)
    def test_knows_a_lock_that_was_not_granted(self) -> None:
        with psycopg.connect(**connection.get_connection_params()) as other:
            other.execute("LOCK TABLE payouts_pause IN ACCESS EXCLUSIVE MODE")
            error = failure_of("SET LOCAL lock_timeout = '10ms'; LOCK TABLE payouts_pause IN ACCESS SHARE MODE")

        assert errors.is_locked(error)
        assert errors.is_busy(error)
        assert not errors.timed_out(error)


class TestContext:
    def test_is_empty_if_nothing_is_said(self) -> None:
        assert errors.context_of(failure_of("SELECT 1 / 0")) == ""
        assert errors.context_of(ValueError()) == ""
