"""Exactly one payout for a key while the database keeps cutting connections off in the middle of transactions.

Fifty clients send requests with one key, at the same time and again and again, as long as somebody ends backends with
pg_terminate_backend: at first the one that has the key, for which all others wait, and then whichever is at work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from django.db import connection

from accounts import services as accounts_services
from accounts.models import Merchant
from idempotency.models import IdempotencyRecord
from payouts.models import Payout, PayoutTransition
from tests.support import factories, racing

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = 50

# Each termination costs one client one try, and waiting for the others costs it a few more.
TERMINATIONS = 60
TERMINATIONS_OF_OWNERS = 20
TRIES_MAX = 300

# What tells a client to send the same request again.
AGAIN = {(409, "idempotency_key_in_progress"), (503, "outcome_unknown"), (503, "database_busy")}

# COMMIT of a payout waits for leave: without it the first of them would be over before anybody could be ended.
LEAVE = 4711
WAIT_FOR_LEAVE = f"""
    CREATE FUNCTION test_wait_for_leave() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared({LEAVE}); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER test_wait_for_leave AFTER INSERT ON payouts_payout
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION test_wait_for_leave();
"""

# All in the database: 50 busy threads would leave a loop in Python no time to meet a transaction of some milliseconds.
# Who has written and does not wait for another transaction has the key. A moment later it may be anywhere between its
# claim and its COMMIT. What pg_stat_activity shows stays the same for a whole transaction unless it is cleared.
END_BACKENDS = """
    CREATE FUNCTION pg_temp.end_backends(goal integer, only_owners boolean) RETURNS integer LANGUAGE plpgsql AS $$
    DECLARE
        deadline CONSTANT timestamptz := clock_timestamp() + interval '10 seconds';
        ended integer := 0;
        victim integer;
    BEGIN
        WHILE ended < goal AND clock_timestamp() < deadline LOOP
            PERFORM pg_stat_clear_snapshot();
            SELECT pid INTO victim FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
                AND xact_start IS NOT NULL
                AND (NOT only_owners OR (backend_xid IS NOT NULL
                    AND coalesce(wait_event, '') NOT IN ('transactionid', 'spectoken', 'tuple')))
            ORDER BY random() LIMIT 1;
            CONTINUE WHEN victim IS NULL;
            IF only_owners THEN
                PERFORM pg_sleep(random() * 0.02);
            END IF;
            CONTINUE WHEN NOT pg_terminate_backend(victim);
            WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = victim) LOOP
                PERFORM pg_sleep(0.001), pg_stat_clear_snapshot();
            END LOOP;
            ended := ended + 1;
        END LOOP;
        RETURN ended;
    END $$
"""


class Terminator:
    """Ends backends that are inside a transaction, one after the other, until it has ended enough of them."""

    def __init__(self) -> None:
        self.ended = 0
        #: How many of them had the key, while nobody could commit anything.
        self.ended_owners = 0
        self.is_at_work = threading.Event()
        self.is_over = threading.Event()

    def run(self) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(END_BACKENDS)
                cursor.execute("SELECT pg_advisory_lock(%s)", [LEAVE])
                self.is_at_work.set()
                self.ended_owners = self._end(TERMINATIONS_OF_OWNERS, only_owners=True)
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LEAVE])
                others = self._end(TERMINATIONS - TERMINATIONS_OF_OWNERS, only_owners=False)
                self.ended = self.ended_owners + others
        finally:
            self.is_over.set()

    @staticmethod
    def _end(goal: int, *, only_owners: bool) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_temp.end_backends(%s, %s)", [goal, only_owners])
            return int(cursor.fetchone()[0])


@dataclass
class Told:
    """What a client was told: each final answer, and why it was to try again."""

    answers: set[tuple[int, str, bytes]] = field(default_factory=set)
    again: list[tuple[int, str]] = field(default_factory=list)


def ask(secret: str, terminator: Terminator, body: dict[str, Any]) -> Told:
    """Send the same request until there is an answer, and on until the last backend was ended."""
    client = factories.client_with(secret)
    # A 500 is to be seen as the client would see it.
    client.raise_request_exception = False
    told = Told()
    assert terminator.is_at_work.wait(10)
    for _ in range(TRIES_MAX):
        # Known before the request, so that one is sent when all is quiet again.
        is_last = terminator.is_over.is_set()
        response = factories.post_payout(client, body, key="order-1")
        if response.status_code in {409, 503}:
            told.again.append((response.status_code, response.json()["code"]))
            # Between two requests a web process looks after its connection; the test client leaves it as it is.
            connection.close()
            continue
        told.answers.add(final(response))
        if is_last:
            return told
    raise AssertionError(f"No end after {TRIES_MAX} tries: {told}")


def final(response: Any) -> tuple[int, str, bytes]:
    """Return what may not differ from one answer to the next; each refusal has a request id of its own."""
    if response.status_code == 201:
        return 201, response.headers["Location"], response.content
    return response.status_code, response.json()["code"], b""


def ask_all(acme: Merchant, bodies: list[dict[str, Any]]) -> tuple[Terminator, list[Told]]:
    """Let a client ask for each of the bodies while backends are ended."""
    _, secret = accounts_services.issue_api_key(acme, name="test")
    # The first use of an API key is noted, which is a transaction too, and of no interest here.
    factories.client_with(secret).get("/api/payouts/")
    terminator = Terminator()
    calls: list[Callable[[], object]] = [partial(ask, secret, terminator, body) for body in bodies]
    failed, *told = racing.run_together(terminator.run, *calls)
    assert [one for one in (failed, *told) if isinstance(one, Exception)] == []
    return terminator, told


def counts() -> tuple[int, int, int]:
    """Return how many payouts, records and first rows of history there are."""
    created = PayoutTransition.objects.filter(from_status="").count()
    return Payout.objects.count(), IdempotencyRecord.objects.count(), created


def stored() -> set[tuple[int, str, bytes]]:
    """Return the answer that the client should have received."""
    content = IdempotencyRecord.objects.get().response_body
    return {(201, f"/api/payouts/{Payout.objects.get().id}/", bytes(content or b""))}


@pytest.fixture(autouse=True)
def _commits_need_leave(transactional_db: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(WAIT_FOR_LEAVE)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER test_wait_for_leave ON payouts_payout; DROP FUNCTION test_wait_for_leave()")


class TestOneKey:
    def test_is_one_payout_for_equal_requests(self, acme: Merchant) -> None:
        terminator, told = ask_all(acme, [factories.payout_body()] * CLIENTS)

        assert counts() == (1, 1, 1)
        assert [one.answers for one in told] == [stored()] * CLIENTS
        assert {reason for one in told for reason in one.again} <= AGAIN
        assert (terminator.ended_owners, terminator.ended) == (TERMINATIONS_OF_OWNERS, TERMINATIONS)

    def test_is_one_payout_for_different_requests(self, acme: Merchant) -> None:
        bodies = [factories.payout_body(amount=f"{number + 1}.00") for number in range(CLIENTS)]

        terminator, told = ask_all(acme, bodies)

        answers = [one.answers for one in told]
        refused = {(422, "idempotency_key_reused", b"")}
        assert counts() == (1, 1, 1)
        # Nobody was ever told first the one and then the other.
        assert (answers.count(stored()), answers.count(refused)) == (1, CLIENTS - 1)
        assert {reason for one in told for reason in one.again} <= AGAIN
        assert (terminator.ended_owners, terminator.ended) == (TERMINATIONS_OF_OWNERS, TERMINATIONS)
