"""Exactly one payout for a key, wherever the process is killed and through whichever server the client retries.

Two real servers share the test database. A request is sent to the first one and stands still at a named place
(tests/chaos/crashing_wsgi.py), where its process is killed with signal 9. Then somebody retries.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection

from accounts import services as accounts_services
from accounts.models import Merchant
from devstack.processes import children, identity
from idempotency.models import IdempotencyRecord
from payouts.engine import processing, sweep
from payouts.models import Payout, PayoutTransition
from tests.chaos import crashing_servers
from tests.chaos.crashing_servers import CRASHING_APPLICATION, HEADER, Crash, Server, wait_until
from tests.support import database, factories
from tests.support.doorbell import Doorbell

pytestmark = pytest.mark.django_db(transaction=True)

RETRIES = 4


@dataclass(frozen=True)
class Point:
    """A place at which the process dies, and what shows from outside that it is this place."""

    name: str
    #: What PostgreSQL has seen last in the transaction that is open then; empty: none is.
    open_transactions: tuple[str, ...]
    #: What others can see while the process stands there: payouts, and rings for them.
    payouts: int
    rings: int
    #: How often was rung when all is over. A replay rings for nobody.
    rings_in_the_end: int


BEFORE_WRITE = Point("before_write", ("SELECT set_config('lock_timeout', $1,",), 0, 0, rings_in_the_end=1)
BEFORE_COMMIT = Point("before_commit", ("WITH claimed AS",), 0, 0, rings_in_the_end=1)
BEFORE_RING = Point("before_ring", (), 1, 0, rings_in_the_end=0)
BEFORE_ANSWER = Point("before_answer", (), 1, 1, rings_in_the_end=1)

UNCOMMITTED = (BEFORE_WRITE, BEFORE_COMMIT)
COMMITTED = (BEFORE_RING, BEFORE_ANSWER)


def each(*points: Point) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("point", points, ids=lambda point: point.name)


class Traces(NamedTuple):
    """What there is in the database."""

    payouts: int
    records: int
    created: int


NOTHING = Traces(0, 0, 0)
ONE_PAYOUT = Traces(1, 1, 1)


def traces() -> Traces:
    created = PayoutTransition.objects.filter(from_status="", to_status="pending", reason="created")
    return Traces(Payout.objects.count(), IdempotencyRecord.objects.count(), created.count())


class Servers(NamedTuple):
    first: Server
    second: Server


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Callable[..., Server]]:
    """Start servers on the test database; they end with the module, whatever its tests did."""
    directory = tmp_path_factory.mktemp("servers")
    with ExitStack() as stack:

        def start(name: str, *applications: str) -> Server:
            server = Server(name, directory, *applications, environment=crashing_servers.environment())
            stack.callback(server.destroy)
            server.start()
            return server

        yield start


@pytest.fixture(scope="module")
def servers(serve: Callable[..., Server]) -> Servers:
    both = Servers(serve("crashing", CRASHING_APPLICATION), serve("surviving", CRASHING_APPLICATION))
    for server in both:
        server.wait()
    return both


@pytest.fixture
def doorbell() -> Doorbell:
    return Doorbell(redis.Redis.from_url(django_settings.CELERY_BROKER_URL))


def rings_of(doorbell: Doorbell) -> int:
    """Return the number of rings once it has not changed for a while: servers ring from threads of their own."""
    counts = [doorbell.rung()]
    while len(counts) < 4 or len(set(counts[-4:])) > 1:
        time.sleep(0.1)
        counts.append(doorbell.rung())
    return counts[-1]


class Client:
    """acme's backend, which sends one request with one key, again and again."""

    def __init__(self, secret: str) -> None:
        self._headers = {"Authorization": f"Api-Key {secret}", "Idempotency-Key": "order-1"}

    def post(self, server: Server, *, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        return server.post(factories.payout_body(**fields), self._headers | (headers or {}))

    @contextmanager
    def stopped_at(self, point: Point, server: Server) -> Iterator[Crash]:
        with server.stopped_at(point.name, factories.payout_body(), self._headers) as crash:
            yield crash


@pytest.fixture
def client(acme: Merchant) -> Client:
    return Client(accounts_services.issue_api_key(acme, name="test")[1])


def open_transactions(server: Server) -> tuple[str, ...]:
    """Return how the last statement began, for each transaction that the server has open.

    A connection that is being opened has a transaction of PostgreSQL's own, and no state yet.
    """
    query = """
        SELECT query FROM pg_stat_activity
        WHERE application_name = %s AND xact_start IS NOT NULL AND state IN ('active', 'idle in transaction')
        """
    return tuple(" ".join(query.split()[:3]) for (query,) in activity(query, server))


def waiting(server: Server) -> int:
    """Return how many connections of the server wait for a lock."""
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
    return len(activity(query, server))


def activity(query: str, server: Server) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, [server.name])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


class Outcome(NamedTuple):
    """What the retries were told, and what is left when all is over."""

    answers: set[tuple[int, str, bytes]]
    replayed: list[str]
    another_body: tuple[int, str]
    traces: Traces
    rings: int
    statuses: list[str]
    attempts: list[str]


def outcome(retries: list[httpx.Response], another_body: httpx.Response, doorbell: Doorbell) -> Outcome:
    """Read all of it, and have the payout paid as the sweeper and two workers would."""
    left, rings = traces(), rings_of(doorbell)
    payout = Payout.objects.get()
    pay(payout)
    return Outcome(
        answers={(answer.status_code, answer.headers.get("Location", ""), answer.content) for answer in retries},
        replayed=[answer.headers.get("Idempotent-Replayed", "no") for answer in retries],
        another_body=(another_body.status_code, another_body.json().get("code", "")),
        traces=left,
        rings=rings,
        statuses=database.statuses(payout),
        attempts=[kind for _, kind, _, _ in database.attempts(payout)],
    )


def once(point: Point, *, replayed: list[str]) -> Outcome:
    """Return the one outcome that is right: the payout was created once and will be paid once."""
    stored = IdempotencyRecord.objects.get().response_body
    return Outcome(
        answers={(201, f"/api/payouts/{Payout.objects.get().id}/", bytes(stored or b""))},
        replayed=replayed,
        another_body=(422, "idempotency_key_reused"),
        traces=ONE_PAYOUT,
        rings=point.rings_in_the_end,
        statuses=["pending", "processing", "paid"],
        attempts=["send"],
    )


def pay(payout: Payout) -> sweep.Sweep:
    """Let the sweeper find the payout, and two workers come: one may have heard the first ring, one the sweeper's."""
    database.make_due(payout)
    swept = sweep.sweep()
    processing.process(payout.id)
    processing.process(payout.id)
    return swept


class TestAKilledProcess:
    @each(*UNCOMMITTED, *COMMITTED)
    def test_stood_where_the_point_says(
        self, servers: Servers, client: Client, doorbell: Doorbell, point: Point
    ) -> None:
        # Those of a process that another test has killed.
        wait_until(lambda: open_transactions(servers.first) == (), what="PostgreSQL has noticed")
        with client.stopped_at(point, servers.first) as crash:
            seen = open_transactions(servers.first), Payout.objects.count(), rings_of(doorbell)

        assert seen == (point.open_transactions, point.payouts, point.rings)
        # The client was told nothing: what it had was a broken connection.
        assert isinstance(crash.request.exception(), httpx.TransportError)
        # It was one of gunicorn's processes, and gunicorn itself is well.
        assert crash.pid != servers.first.pid
        assert identity.started_at(servers.first.pid) is not None

    @each(*UNCOMMITTED)
    def test_leaves_nothing_before_the_commit(
        self, servers: Servers, client: Client, doorbell: Doorbell, point: Point
    ) -> None:
        with client.stopped_at(point, servers.first) as crash:
            crash.kill()
        wait_until(lambda: open_transactions(servers.first) == (), what="PostgreSQL has noticed")

        assert traces() == NOTHING

        # The key is free: not the same request, and not refused for it.
        answer = client.post(servers.second, amount="99.00")

        assert (answer.status_code, answer.json()["amount"]) == (201, "99.00")
        assert "Idempotent-Replayed" not in answer.headers
        assert (traces(), rings_of(doorbell)) == (ONE_PAYOUT, 1)

    @each(*COMMITTED)
    def test_leaves_everything_after_the_commit(
        self, servers: Servers, client: Client, doorbell: Doorbell, point: Point
    ) -> None:
        with client.stopped_at(point, servers.first) as crash:
            crash.kill()

        assert (traces(), rings_of(doorbell)) == (ONE_PAYOUT, point.rings)
        # What nobody was rung for is found all the same, and paid once.
        payout = Payout.objects.get()
        assert pay(payout) == sweep.Sweep(due=1, rung=1, processed=0)
        assert rings_of(doorbell) == point.rings + 1
        assert database.statuses(payout) == ["pending", "processing", "paid"]
        assert [kind for _, kind, _, _ in database.attempts(payout)] == ["send"]


class TestRetries:
    @each(*UNCOMMITTED, *COMMITTED)
    def test_to_the_same_server(self, servers: Servers, client: Client, doorbell: Doorbell, point: Point) -> None:
        with client.stopped_at(point, servers.first) as crash:
            crash.kill()
        retries = [client.post(servers.first) for _ in range(2)]

        another_body = client.post(servers.first, amount="99.00")
        expected = once(point, replayed=["true" if point in COMMITTED else "no", "true"])
        assert outcome(retries, another_body, doorbell) == expected

    @each(*UNCOMMITTED, *COMMITTED)
    def test_to_another_process(self, servers: Servers, client: Client, doorbell: Doorbell, point: Point) -> None:
        with client.stopped_at(point, servers.first) as crash:
            crash.kill()
        retries = [client.post(servers.second) for _ in range(2)]

        another_body = client.post(servers.second, amount="99.00")
        expected = once(point, replayed=["true" if point in COMMITTED else "no", "true"])
        assert outcome(retries, another_body, doorbell) == expected

    @each(BEFORE_COMMIT)
    def test_that_wait_for_the_process_while_it_is_killed(
        self, servers: Servers, client: Client, doorbell: Doorbell, point: Point
    ) -> None:
        with client.stopped_at(point, servers.first) as crash, ThreadPoolExecutor(RETRIES) as pool:
            sent = [pool.submit(client.post, servers.second) for _ in range(RETRIES)]
            # All of them wait in the unique index, for two seconds at most: so the end must come soon.
            wait_until(lambda: waiting(servers.second) == RETRIES, what="all retries wait")
            crash.kill()
            retries = [future.result() for future in sent]

        another_body = client.post(servers.second, amount="99.00")
        # One does the work and the others are told of it, in whatever order.
        retries.sort(key=lambda answer: answer.headers.get("Idempotent-Replayed", "no"))
        expected = once(point, replayed=["no", "true", "true", "true"])
        assert outcome(retries, another_body, doorbell) == expected

    @each(*COMMITTED)
    def test_that_need_not_wait_for_the_process(
        self, servers: Servers, client: Client, doorbell: Doorbell, point: Point
    ) -> None:
        with client.stopped_at(point, servers.first) as crash, ThreadPoolExecutor(RETRIES) as pool:
            sent = [pool.submit(client.post, servers.second) for _ in range(RETRIES)]
            retries = [future.result() for future in sent]
            # They were answered while the first request still stood there.
            assert crash.is_alive
            assert not crash.request.done()

        another_body = client.post(servers.second, amount="99.00")
        assert outcome(retries, another_body, doorbell) == once(point, replayed=["true"] * RETRIES)


class TestProduction:
    def test_the_header_does_nothing(self, serve: Callable[..., Server], client: Client, doorbell: Doorbell) -> None:
        """The application that deploy serves, with everything around it that a crash point would need."""
        server = serve("production")
        server.wait()

        answers = [
            client.post(server, headers={HEADER: point.name, "Idempotency-Key": point.name})
            for point in (*UNCOMMITTED, *COMMITTED)
        ]

        assert [answer.status_code for answer in answers] == [201] * 4
        assert list(server.markers.iterdir()) == []
        assert (traces(), rings_of(doorbell)) == (Traces(4, 4, 4), 4)

    def test_has_no_place_for_it(self) -> None:
        """Nothing that is installed names the header, or could import what does."""
        folders = ("accounts", "backoffice", "config", "deploy", "idempotency", "payouts", "postgres", "rest")
        files = [path for folder in folders for path in (children.CHECKOUT / folder).rglob("*") if path.is_file()]
        knowing = re.compile(
            rb"crash[-_]at|crash_markers|crashing_wsgi|^\s*(from|import) tests\b", re.IGNORECASE | re.MULTILINE
        )

        found = [str(path) for path in files if "__pycache__" not in path.parts and knowing.search(path.read_bytes())]

        assert found == []
        # It has looked where there is something to see, and would have seen it.
        assert children.CHECKOUT / "idempotency" / "services.py" in files
        assert knowing.search(HEADER.encode())
