"""What reads from a replica, what never does, and what becomes of a read that fails there.

One that is behind is a real standby (tests/chaos/test_replica.py).
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from django.core.management import call_command
from django.db import DataError, OperationalError, connections, transaction
from django.test import Client

from accounts.models import Merchant
from payouts import errors
from payouts.models import Payout
from postgres.replica import routing
from tests.support import factories
from tests.support.replica import GONE, WELL, Looks, Statements, wait_for


class TestReading:
    def test_goes_to_the_replica_inside_the_block_alone(self, of_replica: Statements, of_primary: Statements) -> None:
        list(Payout.objects.all())
        with routing.reading() as alias:
            list(Payout.objects.all())
            inside = (of_replica.count, of_primary.count)
        list(Payout.objects.all())

        assert alias == "replica"
        assert inside == (1, 1)
        assert (of_replica.count, of_primary.count) == (1, 2)

    def test_goes_to_the_primary_while_the_replica_is_away(self, looks: Looks, of_replica: Statements) -> None:
        wait_for(looks, GONE)

        with routing.reading() as alias:
            list(Payout.objects.all())

        assert (alias, of_replica.count) == ("default", 0)
        wait_for(looks, WELL)
        assert routing.choose() == "replica"

    def test_stays_where_it_began(self, looks: Looks) -> None:
        """The parts of an answer must not come from two databases."""
        with routing.reading():
            wait_for(looks, GONE)
            with routing.reading() as inner:
                assert (inner, routing.choose()) == ("replica", "replica")

        assert routing.choose() == "default"

    def test_reads_what_its_own_transaction_wrote(self, acme: Merchant, of_replica: Statements) -> None:
        with transaction.atomic(), routing.reading() as alias:
            Merchant.objects.filter(pk=acme.pk).update(name="acme and sons")
            name = Merchant.objects.get(pk=acme.pk).name

        assert (alias, name, of_replica.count) == ("default", "acme and sons", 0)

    def test_writes_to_the_primary_all_the_same(self, acme: Merchant, of_replica: Statements) -> None:
        with routing.reading():
            merchant = Merchant.objects.get(pk=acme.pk)
            merchant.name = "acme and sons"
            merchant.save()
            Merchant.objects.create(name="hooli")

        # The first read, and nothing else.
        assert of_replica.count == 1
        assert set(Merchant.objects.values_list("name", flat=True)) == {"acme and sons", "hooli"}

    def test_cannot_write_by_mistake(self, looks: Looks, acme: Merchant) -> None:
        del looks
        with pytest.raises(Exception, match="read-only transaction") as refused:
            Merchant.objects.using("replica").filter(pk=acme.pk).update(name="lost")

        assert getattr(refused.value.__cause__, "sqlstate", "") == "25006"
        assert Merchant.objects.get(pk=acme.pk).name == "acme"

    def test_keeps_the_bounds_of_the_process(self, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
        """Options of the connection itself would displace those of PGOPTIONS."""
        del looks
        monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=4321")

        with connections["replica"].cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout'), current_setting('transaction_read_only')")
            assert cursor.fetchone() == ("4321ms", "on")

    def test_is_nowhere_else_without_a_replica(self, transactional_db: None) -> None:
        with routing.reading() as alias:
            assert alias == "default"
        assert (routing.is_configured(), routing.choose(), routing.read(routing.choose)) == (
            False,
            "default",
            "default",
        )


class TestRead:
    @pytest.mark.parametrize(
        "failure",
        [
            # The server is shutting down, or the connection is lost: what comes next would fail as well.
            psycopg.errors.AdminShutdown,
            psycopg.OperationalError,
            psycopg.InterfaceError,
        ],
    )
    def test_asks_the_primary_when_the_replica_fails(
        self, looks: Looks, of_replica: Statements, acme: Merchant, failure: type[psycopg.Error]
    ) -> None:
        looks.shown = GONE
        of_replica.fail_with = failure

        names = routing.read(lambda: list(Merchant.objects.values_list("name", flat=True)))

        assert (names, of_replica.count) == (["acme"], 1)
        assert routing.choose() == "default"

    @pytest.mark.parametrize(
        "failure",
        [
            # A row that it needs was removed; a column that it has not heard of yet; a grant that it lacks.
            psycopg.errors.SerializationFailure,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.InsufficientPrivilege,
        ],
    )
    def test_does_not_give_the_replica_up_for_one_statement(
        self, of_replica: Statements, acme: Merchant, failure: type[psycopg.Error], caplog: pytest.LogCaptureFixture
    ) -> None:
        of_replica.fail_with = failure

        names = routing.read(lambda: list(Merchant.objects.values_list("name", flat=True)))

        assert names == ["acme"]
        assert routing.choose() == "replica"
        assert [vars(record)["sqlstate"] for record in caplog.records if record.message == "replica.read.failed"] == [
            failure.sqlstate
        ]

    def test_does_not_repeat_what_took_too_long(self, of_replica: Statements, of_primary: Statements) -> None:
        of_replica.fail_with = psycopg.errors.QueryCanceled

        with pytest.raises(OperationalError):
            routing.read(lambda: list(Payout.objects.all()))

        assert (of_replica.count, of_primary.count) == (1, 0)
        assert routing.choose() == "replica"

    def test_fails_when_both_do(self, of_replica: Statements, of_primary: Statements) -> None:
        of_replica.fail_with, of_primary.fail_with = psycopg.errors.UndefinedColumn, psycopg.DataError

        with pytest.raises(DataError):
            routing.read(lambda: list(Payout.objects.all()))

        assert (of_replica.count, of_primary.count) == (1, 1)

    def test_leaves_errors_of_ours_alone(self, of_replica: Statements) -> None:
        calls: list[str] = []

        def fail() -> None:
            calls.append(routing.choose())
            raise errors.TimeZoneUnknown

        with pytest.raises(errors.TimeZoneUnknown):
            routing.read(fail)

        assert calls == ["replica"]
        assert of_replica.count == 0

    def test_reads_on_the_primary_to_the_end(self, looks: Looks, of_replica: Statements) -> None:
        """Inside the second try a block does not lead back to the replica that has just failed."""
        of_replica.fail_with = psycopg.errors.SerializationFailure
        chosen: list[str] = []

        def function() -> None:
            with routing.reading() as alias:
                chosen.append(alias)
                list(Payout.objects.all())

        routing.read(function)

        assert chosen == ["replica", "default"]
        assert looks.shown == WELL


class TestApi:
    @pytest.mark.parametrize("path", ["/api/payouts/", "/api/payouts/summary/"])
    def test_reports_from_the_replica(
        self, api: Client, make_payout: Callable[..., Payout], of_replica: Statements, path: str
    ) -> None:
        make_payout()

        answer = api.get(path)

        assert answer.status_code == 200
        assert len(answer.json()["results"]) == 1
        assert of_replica.count > 0

    @pytest.mark.parametrize("path", ["/api/payouts/", "/api/payouts/summary/"])
    def test_reports_from_the_primary_when_the_replica_fails(
        self, api: Client, make_payout: Callable[..., Payout], looks: Looks, of_replica: Statements, path: str
    ) -> None:
        make_payout()
        looks.shown = GONE
        of_replica.fail_with = psycopg.errors.AdminShutdown

        answer = api.get(path)

        assert answer.status_code == 200
        assert len(answer.json()["results"]) == 1
        assert of_replica.count == 1

    def test_asks_the_primary_for_everything_else(self, api: Client, of_replica: Statements) -> None:
        created = factories.post_payout(api, key="order-1")
        location = created.headers["Location"]

        answers = [
            created,
            api.get(location),
            api.get(f"{location}history/"),
            api.patch(location, {"comment": "changed"}, content_type="application/json"),
            api.post(f"{location}cancel/", {}, content_type="application/json"),
            api.get("/api/idempotency-keys/order-1/"),
            api.get("/api/me/"),
            api.delete(location),
        ]

        assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200, 200, 200, 204]
        assert of_replica.count == 0


class TestRouter:
    def test_migrates_the_primary_alone(self, of_replica: Statements) -> None:
        router = routing.ReplicaRouter()

        assert router.allow_migrate("default", "payouts") is True
        assert router.allow_migrate("replica", "payouts") is False
        call_command("migrate", verbosity=0)
        assert of_replica.count == 0
