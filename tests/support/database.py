"""What the database holds about a payout, and its clock put forward for one payout.

Time is the database's, so a test does not wait: it moves the payout's times back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from psycopg.sql import SQL, Identifier

from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import racing

#: How a payout gets into each status by changes that are allowed.
PATHS = {
    PayoutStatus.PENDING: [],
    PayoutStatus.PROCESSING: [PayoutStatus.PROCESSING],
    PayoutStatus.SUBMITTED: [PayoutStatus.PROCESSING, PayoutStatus.SUBMITTED],
    PayoutStatus.UNKNOWN: [PayoutStatus.PROCESSING, PayoutStatus.UNKNOWN],
    PayoutStatus.REQUIRES_ATTENTION: [
        PayoutStatus.PROCESSING,
        PayoutStatus.UNKNOWN,
        PayoutStatus.REQUIRES_ATTENTION,
    ],
    PayoutStatus.PAID: [PayoutStatus.PROCESSING, PayoutStatus.PAID],
    PayoutStatus.FAILED: [PayoutStatus.PROCESSING, PayoutStatus.FAILED],
    PayoutStatus.CANCELED: [PayoutStatus.CANCELED],
    PayoutStatus.RETURNED: [PayoutStatus.PROCESSING, PayoutStatus.PAID, PayoutStatus.RETURNED],
}


def put_into(payout: Payout, status: PayoutStatus) -> Payout:
    """Write the status as nobody but a test does: without history."""
    for step in PATHS[status]:
        Payout.objects.filter(pk=payout.pk).update(status=step)
    payout.refresh_from_db()
    return payout


def history(payout: Payout) -> list[tuple[str, str, str, str]]:
    """Return (from, to, actor, reason) of each transition, in order."""
    return list(payout.transitions.order_by("id").values_list("from_status", "to_status", "actor", "reason"))


def statuses(payout: Payout) -> list[str]:
    """Return the statuses that the payout has gone through."""
    return list(payout.transitions.order_by("id").values_list("to_status", flat=True))


def attempts(payout: Payout) -> list[tuple[int, str, str, str]]:
    """Return (number, kind, outcome, code) of each attempt, in order."""
    return list(payout.attempts.order_by("number").values_list("number", "kind", "outcome", "code"))


def due_in_seconds(payout: Payout) -> float | None:
    """Return in how many seconds the payout is due by the database's clock, negative for one that is overdue."""
    due_in = Payout.objects.annotate(due_in=F("due_at") - Now()).values_list("due_in", flat=True).get(pk=payout.pk)
    return due_in.total_seconds() if due_in is not None else None


def make_due(payout: Payout, *, seconds: float = 10.0) -> None:
    """Let it be due since so many seconds."""
    Payout.objects.filter(pk=payout.pk).update(due_at=Now() - timedelta(seconds=seconds))


def expire_lease(payout: Payout) -> None:
    """Let the time of the worker that holds it run out."""
    past = Now() - timedelta(seconds=1)
    Payout.objects.filter(pk=payout.pk, lease_token__isnull=False).update(lease_expires_at=past, due_at=past)


def age(payout: Payout, *, seconds: float) -> None:
    """Let everything that was tried so far have happened so many seconds earlier."""
    earlier = timedelta(seconds=seconds)
    Payout.objects.filter(pk=payout.pk).update(first_sent_at=F("first_sent_at") - earlier)
    with unguarded("payouts_payoutattempt", "payouts_guard_attempt"):
        payout.attempts.update(started_at=F("started_at") - earlier)


def poison(payout: Payout, *, table: str = "payouts_payoutattempt", also: str = "true") -> None:
    """Have the database refuse rows of this payout, until the test's transaction is undone."""
    connection.check_constraints()
    check = f"NOT (payout_id = '{payout.pk}' AND {also})"
    execute(f"ALTER TABLE {table} ADD CONSTRAINT no_poison CHECK ({check}) NOT VALID")


@contextmanager
def holding(table: str) -> Iterator[None]:
    """Hold a table on another connection, so that its readers wait."""
    settings = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    with psycopg.connect(**{name: settings[name] for name in names}) as other:
        other.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(Identifier(table)))
        yield
        other.rollback()


@contextmanager
def unguarded(table: str, trigger: str) -> Iterator[None]:
    """Let a test do what a trigger refuses to everybody."""
    # A table with foreign keys that are yet to be looked at cannot be altered.
    connection.check_constraints()
    execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
    yield
    connection.check_constraints()
    execute(f"ALTER TABLE {table} ENABLE TRIGGER {trigger}")


def refused_by(statement: Callable[[], Any]) -> str | None:
    """Return the name of the constraint that refuses the statement, or None where none does."""
    try:
        with transaction.atomic():
            statement()
    except IntegrityError as error:
        cause: Any = error.__cause__
        return str(cause.diag.constraint_name)
    return None


def execute(sql: str, parameters: list[Any] | None = None) -> None:
    """Execute one statement behind the back of all of our code."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def end_connection_of_this_thread() -> None:
    """Have the server end it, as it does when it restarts; nothing on our side notices yet."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()

    def terminate() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [backend])
            assert cursor.fetchone() == (True,)

    assert racing.run_together(terminate) == [None]
