"""When a payout was over: written by the migration to what was over before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module

import pytest
from django.db import connection

from accounts.models import Merchant
from payouts import states
from payouts.models import Payout, PayoutQuerySet
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


def _payouts() -> PayoutQuerySet:
    """Select the columns that the schema of that time has."""
    return Payout.objects.only("version", "updated_at", "completed_at")


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

        payouts = _payouts().in_bulk()
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

        assert _payouts().get(pk=payout_id).completed_at == NOON

    def test_can_be_run_again_when_it_was_interrupted(self, acme: Merchant) -> None:
        """It ended between two batches: some are filled, and those that ended since were filled by the guard."""
        upgrading.migrate(BEFORE)
        early, late = [upgrading.insert_payout(acme, PayoutStatus.PAID) for _ in range(2)]
        MIGRATION.alter(MIGRATION.COLUMN, MIGRATION._completion.PAYOUT)(None, None)
        database.execute("UPDATE payouts_payout SET completed_at = %s WHERE id = %s", [NOON, early])
        meanwhile = upgrading.insert_payout(acme, PayoutStatus.CANCELED)
        MIGRATION.alter(MIGRATION.DROP, MIGRATION.CHECK.replace("IS NOT NULL", "IS NOT NULL OR true"))(None, None)

        upgrading.migrate(AFTER)

        payouts = _payouts().in_bulk()
        assert payouts[early].completed_at == NOON
        assert payouts[late].completed_at == entered_at(payouts[late])
        assert payouts[meanwhile].completed_at is not None
        assert database.refused_by(lambda: Payout.objects.update(completed_at=None)) == "payout_completed_while_over"
        with connection.cursor() as cursor:
            cursor.execute("SELECT convalidated FROM pg_constraint WHERE conname = 'payout_completed_while_over'")
            assert cursor.fetchall() == [(True,)]
