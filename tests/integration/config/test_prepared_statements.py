"""A column changes its type beside a process that has prepared statements: what it costs is one statement at most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from django.db import DataError, ProgrammingError, connection, connections, transaction
from django.test import Client

from idempotency.models import IdempotencyRecord
from payouts.engine import processing, sweep
from payouts.models import Payout
from tests.support import answers, database, factories

pytestmark = pytest.mark.django_db(transaction=True)

#: More than the uses after which psycopg prepares a statement.
USES = 8


def alter(*statements: str) -> None:
    """Change the schema as a migration does: on a connection of its own."""
    with closing(connections.create_connection("default")) as other, other.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def repeat(call: Callable[[], Any]) -> None:
    for _ in range(USES):
        call()


def prepared() -> int:
    """How many statements of this session are prepared."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements")
        return int(cursor.fetchone()[0])


@pytest.fixture
def _wider() -> Iterator[Callable[[], None]]:
    """A column that is made wider, which is what an installation does to a column of a text."""
    yield lambda: alter("ALTER TABLE payouts_payout ALTER COLUMN failure_message TYPE varchar(600)")
    connection.close()
    alter("ALTER TABLE payouts_payout ALTER COLUMN failure_message TYPE varchar(500)")


@pytest.fixture
def widen(_wider: Callable[[], None]) -> Callable[[], None]:
    return _wider


class TestRequests:
    @pytest.mark.parametrize("path", ["/api/payouts/", "/api/payouts/{id}/", "/api/payouts/summary/"])
    def test_that_read_are_answered(
        self, api: Client, make_payout: Callable[..., Payout], widen: Callable[[], None], path: str
    ) -> None:
        payout = make_payout()

        def ask() -> Any:
            return api.get(path.format(id=payout.id))

        repeat(ask)
        before = ask()

        widen()

        assert [ask().status_code for _ in range(USES)] == [200] * USES
        assert ask().json().keys() == before.json().keys()

    @pytest.mark.parametrize("key", [True, False])
    def test_that_write_are_carried_out_once(self, api: Client, widen: Callable[[], None], key: bool) -> None:  # noqa: FBT001
        numbers = iter(range(100))

        def post() -> Any:
            return factories.post_payout(api, key=f"order-{next(numbers)}" if key else None)

        repeat(post)

        widen()

        assert post().status_code == 201
        assert Payout.objects.count() == USES + 1

    def test_that_change_a_payout_are_carried_out(
        self, api: Client, make_payout: Callable[..., Payout], widen: Callable[[], None]
    ) -> None:
        url = f"/api/payouts/{make_payout().id}/"

        def patch(text: str) -> Any:
            return api.patch(url, {"comment": text}, content_type="application/json")

        repeat(lambda: patch("before"))

        widen()

        assert patch("after").json()["comment"] == "after"

    def test_with_a_key_are_told_to_come_again(
        self, api: Client, make_payout: Callable[..., Payout], widen: Callable[[], None]
    ) -> None:
        """The statement is in the middle of the transaction of the key, of which nothing is left."""
        payout = make_payout()

        def patch(text: str, *, key: str) -> Any:
            headers = {"Idempotency-Key": key}
            url = f"/api/payouts/{payout.id}/"
            return api.patch(url, {"comment": text}, content_type="application/json", headers=headers)

        for number in range(USES):
            patch("before", key=f"before-{number}")
        changed = Payout.objects.values_list("comment", "version").get(pk=payout.id)
        keys = IdempotencyRecord.objects.count()

        widen()

        first = patch("after", key="after")
        assert answers.code(first) == (503, "database_busy")
        assert first.headers["Retry-After"] == "1"
        assert IdempotencyRecord.objects.count() == keys == USES
        assert Payout.objects.values_list("comment", "version").get(pk=payout.id) == changed
        assert patch("after", key="after").json()["comment"] == "after"


class TestWorker:
    def test_pays(self, make_payout: Callable[..., Payout], widen: Callable[[], None]) -> None:
        for _ in range(USES):
            processing.process(make_payout().id)
        payout = make_payout()

        widen()

        processing.process(payout.id)

        payout.refresh_from_db()
        assert payout.status == "paid"
        assert database.statuses(payout) == ["pending", "processing", "paid"]

    def test_sweeps(self, make_payout: Callable[..., Payout], widen: Callable[[], None]) -> None:
        repeat(sweep.sweep)

        widen()

        repeat(sweep.sweep)


@pytest.fixture
def _scratch() -> Iterator[None]:
    clean = "DROP TABLE IF EXISTS scratch; DROP TYPE IF EXISTS scratch_mood;"
    database.execute(f"{clean} CREATE TABLE scratch (id integer, word varchar(36))")
    database.execute("INSERT INTO scratch VALUES (1, '0f8fad5b-d9cb-469f-a165-70867728950e')")
    yield
    connection.close()
    database.execute(clean)


WORD = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.usefixtures("_scratch")
class TestStatements:
    @staticmethod
    def read(sql: str, parameters: list[Any]) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return [str(value) for (value,) in cursor.fetchall()]

    @pytest.mark.parametrize(
        "change",
        [
            "ALTER TABLE scratch ALTER COLUMN word TYPE varchar(40)",
            "ALTER TABLE scratch ALTER COLUMN word TYPE text",
            # Its parameter was one of a text, and no operator compares the two.
            "ALTER TABLE scratch ALTER COLUMN word TYPE uuid USING word::uuid",
        ],
    )
    def test_outside_of_a_transaction_are_executed_once_more(
        self, change: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def read() -> Any:
            return self.read("SELECT word FROM scratch WHERE word = %s", [WORD])

        repeat(read)

        alter(change)

        assert [read() for _ in range(USES)] == [[WORD]] * USES
        assert caplog.messages.count("database.statements.forgotten") == 1

    def test_write_once(self) -> None:
        def write() -> Any:
            return self.read("INSERT INTO scratch VALUES (2, %s) RETURNING word", [WORD])

        repeat(write)

        alter("ALTER TABLE scratch ALTER COLUMN word TYPE uuid USING word::uuid")

        assert write() == [WORD]
        assert self.read("SELECT count(*) FROM scratch WHERE id = %s", [2]) == [str(USES + 1)]

    def test_whose_type_was_made_again_are_executed_once_more(self) -> None:
        database.execute("CREATE TYPE scratch_mood AS ENUM ('good')")

        def read() -> Any:
            return self.read("SELECT %s::scratch_mood", ["good"])

        repeat(read)

        alter("DROP TYPE scratch_mood", "CREATE TYPE scratch_mood AS ENUM ('bad', 'good')")

        assert [read() for _ in range(USES)] == [["good"]] * USES

    def test_inside_of_a_transaction_fail_it_once(self) -> None:
        def read() -> list[Any]:
            with transaction.atomic():
                return self.read("SELECT word FROM scratch WHERE word = %s", [WORD])

        repeat(read)

        alter("ALTER TABLE scratch ALTER COLUMN word TYPE text")

        with pytest.raises(Exception, match="cached plan must not change result type"):
            read()
        assert prepared() == 0
        assert [read() for _ in range(USES)] == [[WORD]] * USES

    def test_that_are_wrong_in_themselves_are_no_better_the_second_time(self, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(ProgrammingError, match="operator does not exist"):
            self.read("SELECT 1 FROM scratch WHERE word = now() AND id = %s", [1])
        with pytest.raises(DataError):
            self.read("SELECT 1 / (id - %s) FROM scratch", [1])

        assert caplog.messages.count("database.statements.forgotten") == 1

    def test_that_fetch_from_a_cursor_that_is_held_open_go_on(self) -> None:
        """An export reads on while the same connection notes how far it is."""

        def note() -> Any:
            return self.read("UPDATE scratch SET id = 1 WHERE word = %s RETURNING word", [WORD])

        repeat(note)
        with closing(connection.chunked_cursor()) as held:
            held.execute("SELECT generate_series(1, 10)")
            rows = held.fetchmany(4)

            alter("ALTER TABLE scratch ALTER COLUMN word TYPE text")
            assert note() == [WORD]

            rows += held.fetchmany(10)
        assert [number for (number,) in rows] == list(range(1, 11))
