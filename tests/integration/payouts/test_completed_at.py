"""When a payout was over: written with the status, by this version, by the one before, and by the migration."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module

import pytest
from django.db import connection, transaction

from accounts.models import Merchant
from payouts import operators, services, states, transitions
from payouts.engine import processing
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import database, upgrading

MakePayout = Callable[..., Payout]

BEFORE = "0010"
AFTER = "0012"
MIGRATION = import_module("payouts.migrations.0012_completed_at")
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def entered_at(payout: Payout) -> datetime:
    """Return when the payout entered the status that it has."""
    return payout.transitions.order_by("-id").values_list("created_at", flat=True)[0]


@pytest.mark.django_db
class TestMove:
    @pytest.mark.parametrize(("source", "target"), [(s, t) for s in states.TRANSITIONS for t in states.TRANSITIONS[s]])
    def test_writes_it_with_a_status_that_ends_and_takes_it_back_with_any_other(
        self, make_payout: MakePayout, source: PayoutStatus, target: PayoutStatus
    ) -> None:
        payout = database.put_into(make_payout(), source)

        moved = transitions.move(payout.pk, source=source, target=target, actor="test", reason="table")

        assert moved is not None
        assert moved.completed_at == (
            moved.updated_at if target in {"paid", "failed", "canceled", "returned"} else None
        )

    def test_of_a_payout_that_came_back_is_the_time_of_the_return(self, make_payout: MakePayout) -> None:
        payout = database.put_into(make_payout(), PayoutStatus.PAID)
        paid_at = payout.completed_at

        transitions.move(
            payout.pk, source=PayoutStatus.PAID, target=PayoutStatus.RETURNED, actor="test", reason="came back"
        )

        payout.refresh_from_db()
        assert paid_at is not None
        assert payout.completed_at == payout.updated_at
        assert payout.completed_at > paid_at

    def test_is_undone_with_the_status(self, make_payout: MakePayout) -> None:
        payout = make_payout()

        with transaction.atomic():
            services.cancel_payout(payout, actor="merchant:x")
            transaction.set_rollback(True)

        payout.refresh_from_db()
        assert (payout.status, payout.completed_at) == ("pending", None)


@pytest.mark.django_db
class TestLife:
    def test_is_null_until_it_is_over(self, make_payout: MakePayout) -> None:
        payout = make_payout(account="sandbox_paid")
        assert payout.completed_at is None

        processing.process(payout.pk)

        payout.refresh_from_db()
        assert payout.completed_at == payout.updated_at

    def test_is_null_again_when_an_operator_has_it_sent_again(self, make_processed_payout: MakePayout) -> None:
        failed = make_processed_payout("sandbox_rejected_account_closed")
        assert failed.completed_at is not None

        retried = operators.retry_payout(failed, actor="operator:ada", reason="another account")

        assert (retried.status, retried.completed_at) == ("pending", None)

    @pytest.mark.parametrize("target", [PayoutStatus.PAID, PayoutStatus.FAILED])
    def test_is_written_when_an_operator_resolves_it(self, make_payout: MakePayout, target: PayoutStatus) -> None:
        stuck = database.put_into(make_payout(), PayoutStatus.REQUIRES_ATTENTION)

        resolved = operators.resolve_payout(stuck, target=target, actor="operator:ada", reason="on the statement")

        assert resolved.completed_at == resolved.updated_at

    def test_is_not_moved_by_a_later_change_of_a_note(self, make_processed_payout: MakePayout) -> None:
        paid = make_processed_payout()

        noted = services.update_payout(paid, comment="seen")

        assert (noted.version, noted.completed_at) == (paid.version + 1, paid.completed_at)


@pytest.mark.django_db
class TestDatabase:
    """What the database does and refuses, whoever writes."""

    @pytest.mark.parametrize("status", PayoutStatus.values)
    def test_fills_it_for_a_process_that_does_not_know_it(self, make_payout: MakePayout, status: str) -> None:
        payout = database.put_into(make_payout(), PayoutStatus(status))

        assert (payout.completed_at is not None) == (status in {"paid", "failed", "canceled", "returned"})

    def test_moves_it_for_such_a_process(self, make_payout: MakePayout) -> None:
        payout = database.put_into(make_payout(), PayoutStatus.PAID)

        database.execute("UPDATE payouts_payout SET status = 'returned' WHERE id = %s", [payout.pk])

        returned = Payout.objects.get()
        assert payout.completed_at is not None
        assert returned.completed_at is not None
        assert returned.completed_at > payout.completed_at

    def test_takes_it_back_for_such_a_process(self, make_payout: MakePayout) -> None:
        payout = database.put_into(make_payout(), PayoutStatus.FAILED)

        database.execute("UPDATE payouts_payout SET status = 'pending' WHERE id = %s", [payout.pk])

        assert Payout.objects.get().completed_at is None

    def test_leaves_alone_what_is_written_with_the_status(self, make_payout: MakePayout) -> None:
        payout = make_payout()

        Payout.objects.filter(pk=payout.pk).update(status="canceled", completed_at=NOON)

        assert Payout.objects.get().completed_at == NOON

    def test_refuses_to_forget_it(self, make_processed_payout: MakePayout) -> None:
        paid = make_processed_payout()

        assert database.refused_by(lambda: Payout.objects.filter(pk=paid.pk).update(completed_at=None)) == (
            "payout_completed_while_over"
        )

    def test_refuses_it_before_the_end(self, make_payout: MakePayout) -> None:
        payout = make_payout()

        assert database.refused_by(lambda: Payout.objects.filter(pk=payout.pk).update(completed_at=NOON)) == (
            "payout_completed_while_over"
        )


@pytest.mark.usefixtures("migrated")
class TestMigration:
    def test_fills_what_is_over_from_its_history(self, acme: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
        upgrading.migrate(BEFORE)
        ids = {status: upgrading.insert_payout(acme, status) for status in PayoutStatus}
        # A failed one that was sent again, and failed again: the last time counts.
        twice = upgrading.insert_payout(acme, PayoutStatus.FAILED)
        for before, after in (("failed", "pending"), ("pending", "processing"), ("processing", "failed")):
            database.execute(
                "INSERT INTO payouts_payouttransition (payout_id, from_status, to_status, actor, reason) "
                "VALUES (%s, %s, %s, 'worker', '')",
                [twice, before, after],
            )
            database.execute("UPDATE payouts_payout SET status = %s WHERE id = %s", [after, twice])
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, version, updated_at, xmin::text FROM payouts_payout ORDER BY id")
            as_it_was = {row[0]: row[1:] for row in cursor.fetchall()}
        monkeypatch.setattr(MIGRATION, "BATCH", 3)

        upgrading.migrate(AFTER)

        payouts = Payout.objects.in_bulk()
        assert len(payouts) == len(PayoutStatus) + 1
        for status, payout_id in ids.items():
            payout = payouts[payout_id]
            assert payout.completed_at == (entered_at(payout) if status in states.OVER else None)
        assert payouts[twice].completed_at == entered_at(payouts[twice])
        # Nothing else about them has changed, and what is not over was not written at all.
        assert {pk: (p.version, p.updated_at) for pk, p in payouts.items()} == {
            pk: row[:2] for pk, row in as_it_was.items()
        }
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, xmin::text FROM payouts_payout WHERE completed_at IS NULL")
            untouched = dict(cursor.fetchall())
        assert untouched == {pk: as_it_was[pk][2] for pk in untouched}
        assert len(untouched) == len(PayoutStatus) - len(states.OVER)

    def test_of_one_without_history_is_its_last_change(self, acme: Merchant) -> None:
        upgrading.migrate(BEFORE)
        payout_id = upgrading.insert_payout(acme, PayoutStatus.PENDING)
        database.execute("UPDATE payouts_payout SET status = 'canceled', updated_at = %s", [NOON])

        upgrading.migrate(AFTER)

        assert Payout.objects.get(pk=payout_id).completed_at == NOON

    def test_can_be_run_again_when_it_was_interrupted(self, acme: Merchant) -> None:
        """It ended between two batches: some are filled, and those that ended since were filled by the guard."""
        upgrading.migrate(BEFORE)
        early, late = [upgrading.insert_payout(acme, PayoutStatus.PAID) for _ in range(2)]
        MIGRATION.alter(MIGRATION.COLUMN, MIGRATION._completion.PAYOUT)(None, None)
        database.execute("UPDATE payouts_payout SET completed_at = %s WHERE id = %s", [NOON, early])
        meanwhile = upgrading.insert_payout(acme, PayoutStatus.CANCELED)
        MIGRATION.alter(MIGRATION.DROP, MIGRATION.CHECK.replace("IS NOT NULL", "IS NOT NULL OR true"))(None, None)

        upgrading.migrate(AFTER)

        payouts = Payout.objects.in_bulk()
        assert payouts[early].completed_at == NOON
        assert payouts[late].completed_at == entered_at(payouts[late])
        assert payouts[meanwhile].completed_at is not None
        assert database.refused_by(lambda: Payout.objects.update(completed_at=None)) == "payout_completed_while_over"
        with connection.cursor() as cursor:
            cursor.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'payout_completed_while_over'")
            assert cursor.fetchall() == [(True,)]
