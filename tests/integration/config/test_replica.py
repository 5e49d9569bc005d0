"""What reads from a replica, what never does, and what becomes of a read that fails there.

The replica of these tests is the primary once more under the other name: another connection, which may only read, and
which a look may call well. One that is behind is a real standby (tests/chaos/test_replica.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DataError, OperationalError, connections, transaction
from django.test import Client

from accounts.models import Merchant
from payouts import checks, errors
from payouts.engine import heartbeats
from payouts.models import Payout
from postgres.replica import lag, monitor, routing
from postgres.replica.monitor import Health, Monitor
from tests.integration.config import processes
from tests.support import factories

WELL = Health(usable=True, lag_seconds=0.25)
GONE = Health(usable=False, reason="unreachable", error="connection refused")
PATIENCE = 10.0

DATABASES = """
import json
import django
django.setup()
from django.conf import settings
replica, primary = settings.DATABASES.get("replica"), settings.DATABASES["default"]
shown = {name: replica[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")} if replica else None
if replica:
    shown["mirror"] = replica["TEST"]["MIRROR"]
    options = primary["OPTIONS"]
    shown["options"] = sorted(name for name, value in replica["OPTIONS"].items() if value != options[name])
print(json.dumps([shown, settings.REPLICA_LAG_MAX_SECONDS]))
"""


class Looks:
    """What a look at the replica shows, which the test says."""

    def __init__(self) -> None:
        self.shown = WELL

    def measure(self) -> Health:
        return self.shown


class Statements:
    """Counts what is asked of a database, and fails there when it is told to."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.count = 0
        self.fail_with: type[psycopg.Error] | None = None

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's signature
        self.count += 1
        if self.fail_with is not None:
            with connections[self.alias].wrap_database_errors:
                raise self.fail_with("as the test wants it")
        return execute(sql, params, many, context)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, transactional_db: None) -> Iterator[Looks]:
    """A replica that is well, as far as the test does not say otherwise."""
    primary = connections["default"].settings_dict
    monkeypatch.setitem(connections.settings, "replica", {**primary, "ENGINE": "postgres.replica"})
    # Django forbids a test the databases that it did not name beforehand.
    monkeypatch.setattr(connections["replica"], "ensure_connection", connect)
    server = Looks()
    monkeypatch.setattr(routing, "replica_monitor", Monitor(server.measure))
    assert routing.health(patience_seconds=PATIENCE) == WELL
    yield server
    monkeypatch.setattr(monitor, "IDLE_SECONDS", -1.0)
    routing.replica_monitor.mark_failed(OperationalError("only to wake its thread, so that it ends"))
    connections["replica"].close()
    del connections["replica"]


@pytest.fixture
def of_replica(looks: Looks) -> Iterator[Statements]:
    del looks
    # The first connection of a process asks for the server's version.
    connect()
    statements = Statements("replica")
    with connections["replica"].execute_wrapper(statements):
        yield statements


@pytest.fixture
def of_primary() -> Iterator[Statements]:
    statements = Statements("default")
    with connections["default"].execute_wrapper(statements):
        yield statements


def connect() -> None:
    connection = connections["replica"]
    if connection.connection is None:
        with connection.wrap_database_errors:
            connection.connect()


def wait_for(looks: Looks, shown: Health) -> None:
    looks.shown = shown
    # Looked at again at once, which it would be after 2 s by itself.
    routing.replica_monitor.mark_failed(OperationalError("only to have it looked at"))
    deadline = time.monotonic() + PATIENCE
    while routing.health() != shown:
        assert time.monotonic() < deadline
        time.sleep(0.01)


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


class TestLagProbe:
    def test_refuses_a_server_that_is_not_a_standby(self, looks: Looks) -> None:
        """Somebody has named a primary, or has promoted the standby: it would show the same for ever."""
        del looks

        assert lag.LagProbe().measure() == Health(usable=False, reason="not_a_replica")

    def test_tells_of_one_that_is_not_there(self, looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
        del looks
        connections["replica"].close()
        monkeypatch.setitem(connections["replica"].settings_dict, "PORT", 1)

        health = lag.LagProbe().measure()

        assert (health.usable, health.reason, health.lag_seconds) == (False, "unreachable", None)
        assert "refused" in health.error

    def test_blames_no_replica_for_a_primary_that_is_away(self, looks: Looks, of_primary: Statements) -> None:
        del looks
        of_primary.fail_with = psycopg.OperationalError

        health = lag.LagProbe().measure()

        assert (health.usable, health.reason, health.is_unreachable) == (False, "unmeasured", False)


class TestHealth:
    def test_is_part_of_readyz(self, looks: Looks, client: Client) -> None:
        heartbeats.beat("sweeper:here:1")

        well = client.get("/readyz")
        wait_for(looks, Health(usable=False, reason="lagging", lag_seconds=31.5))
        lagging = client.get("/readyz")
        wait_for(looks, GONE)
        gone = client.get("/readyz")

        others = {"database": "ok", "broker": "ok", "sweeper": "ok"}
        assert [(answer.status_code, answer.json()) for answer in (well, lagging, gone)] == [
            (200, {"status": "ok", "checks": {**others, "replica": "ok"}, "replica_lag_seconds": 0.25}),
            (200, {"status": "degraded", "checks": {**others, "replica": "degraded"}, "replica_lag_seconds": 31.5}),
            (200, {"status": "degraded", "checks": {**others, "replica": "degraded"}, "replica_lag_seconds": None}),
        ]

    def test_is_part_of_the_metrics(self, looks: Looks, client: Client) -> None:
        well = self._figures(client)
        wait_for(looks, GONE)

        assert well == ["payouts_replica_in_use 1.0", "payouts_replica_lag_seconds 0.25"]
        assert self._figures(client) == ["payouts_replica_in_use 0.0"]

    @pytest.mark.django_db
    def test_is_no_metric_without_a_replica(self, client: Client) -> None:
        assert self._figures(client) == []

    def _figures(self, client: Client) -> list[str]:
        lines = client.get("/metrics").content.decode().splitlines()
        return [line for line in lines if line.startswith("payouts_replica")]


class TestSettings:
    def test_give_the_replica_what_the_primary_has(self, tmp_path: Path) -> None:
        ended = processes.python(
            DATABASES,
            tmp_path,
            DJANGO_SETTINGS_MODULE="config.settings",
            POSTGRES_PASSWORD="secret",
            PAYOUTS_REPLICA_HOST="replica.internal",
        )

        assert json.loads(ended.stdout) == [
            {
                "HOST": "replica.internal",
                "PORT": 1,
                "USER": "payouts",
                "PASSWORD": "secret",
                "NAME": "payouts",
                "mirror": "default",
                "options": ["connect_timeout", "tcp_user_timeout"],
            },
            30,
        ], ended.stderr

    def test_give_it_what_is_said_of_it(self, tmp_path: Path) -> None:
        said = {"HOST": "::1", "PORT": "6432", "USER": "reader", "PASSWORD": "other", "LAG_MAX_SECONDS": "5"}
        ended = processes.python(
            DATABASES,
            tmp_path,
            DJANGO_SETTINGS_MODULE="config.settings",
            **{f"PAYOUTS_REPLICA_{name}": value for name, value in said.items()},
        )

        shown, lag_max = json.loads(ended.stdout)
        assert [shown[name] for name in ("HOST", "PORT", "USER", "PASSWORD")] == ["::1", 6432, "reader", "other"]
        assert lag_max == 5

    def test_give_none_without_a_host(self, tmp_path: Path) -> None:
        ended = processes.python(
            DATABASES, tmp_path, DJANGO_SETTINGS_MODULE="config.settings", PAYOUTS_REPLICA_PORT="6432"
        )

        assert json.loads(ended.stdout) == [None, 30]


class TestCheck:
    @pytest.mark.parametrize(
        ("other", "ids"), [({}, ["payouts.W004"]), ({"PORT": 1}, []), ({"HOST": "replica.internal"}, [])]
    )
    def test_tells_who_has_named_the_primary(
        self, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], ids: list[str]
    ) -> None:
        monkeypatch.setitem(settings.DATABASES, "replica", {**settings.DATABASES["default"], **other})

        assert [message.id for message in checks.check_replica(None)] == ids

    def test_has_nothing_to_say_without_a_replica(self) -> None:
        assert checks.check_replica(None) == []
