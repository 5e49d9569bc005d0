"""An installation of version 0.1 keeps its payouts through the upgrade, and back."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db.migrations.exceptions import IrreversibleError

from accounts.models import Merchant
from payouts import operators
from payouts.engine import processing, sweep
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import database, upgrading

V0_1 = "0003"

COLUMNS_OF_0_1 = (
    "id, merchant_id, mode, status, amount, currency, recipient_details, comment, reference, metadata, "
    "idempotency_key, provider, provider_reference, failure_code, failure_message, attempts_count, due_at, "
    "lease_token, lease_expires_at, first_sent_at, version, created_at, updated_at, deleted_at"
)
ATTEMPTS_OF_0_1 = "SELECT id, payout_id, number, kind, outcome FROM payouts_payoutattempt ORDER BY id"


def payouts_of_0_1() -> list[tuple[Any, ...]]:
    return upgrading.rows(f"SELECT {COLUMNS_OF_0_1} FROM payouts_payout ORDER BY id")


def indexes() -> dict[str, str]:
    """Return the definition of each index by its name."""
    return dict(upgrading.rows("SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'payouts_%'"))


@pytest.mark.usefixtures("migrated")
class TestUpgrade:
    def test_keeps_every_payout_and_goes_on_with_it(self, acme: Merchant) -> None:
        upgrading.migrate(V0_1)
        ids = {status: upgrading.insert_payout(acme, status) for status in PayoutStatus}
        before = payouts_of_0_1()
        history = upgrading.rows("SELECT * FROM payouts_payouttransition ORDER BY id")

        upgrading.migrate(upgrading.LATEST)

        assert payouts_of_0_1() == before
        assert upgrading.rows("SELECT * FROM payouts_payouttransition ORDER BY id") == history
        new_columns = ("reference_number", "contradicted_at", "own_reference")
        assert set(Payout.objects.values_list(*new_columns)) == {(1, None, None)}
        attempts = "SELECT DISTINCT reference_number, actor, finished_at IS NULL FROM payouts_payoutattempt"
        assert upgrading.rows(attempts) == [(1, "", True)]
        # What had an end keeps it, and all else comes to one.
        Payout.objects.filter(due_at__isnull=False).update(due_at="2020-01-01T00:00Z")
        for _ in range(2):
            sweep.sweep()
            for payout_id in ids.values():
                processing.process(payout_id)
        ends = {status: Payout.objects.get(pk=payout_id).status for status, payout_id in ids.items()}
        assert ends == {
            "pending": "paid",
            "processing": "paid",
            "submitted": "paid",
            "unknown": "paid",
            # The provider is asked about it only when somebody makes it due, as here.
            "requires_attention": "paid",
            "paid": "paid",
            "failed": "failed",
            "canceled": "canceled",
            "returned": "returned",
        }
        # A refusal of version 0.1 is known for what it is.
        failed = Payout.objects.get(pk=ids[PayoutStatus.FAILED])
        retried = operators.retry_payout(failed, actor="operator:ada", reason="try again")
        assert retried.reference_number == 2

    def test_can_be_run_again_when_it_was_interrupted(self) -> None:
        """An index that is made CONCURRENTLY is left behind, unfinished, by whatever interrupts it."""
        upgrading.migrate("0005")
        database.execute("CREATE INDEX payout_leased ON payouts_payout (comment)")

        upgrading.migrate(upgrading.LATEST)

        assert "(provider, lease_expires_at) WHERE (lease_expires_at IS NOT NULL)" in indexes()["payout_leased"]

    def test_lists_what_was_paid_after_all_and_asks_about_what_waits(self, acme: Merchant) -> None:
        """Deleted as failed, and resolved as paid by an operator of the version before."""
        upgrading.migrate("0014")
        statuses = (PayoutStatus.PAID, PayoutStatus.FAILED, PayoutStatus.REQUIRES_ATTENTION)
        paid, failed, stuck = [upgrading.insert_payout(acme, status) for status in statuses]
        database.execute("UPDATE payouts_payout SET deleted_at = now() WHERE id IN (%s, %s)", [paid, failed])
        database.execute("UPDATE payouts_payout SET due_at = NULL WHERE id = %s", [stuck])
        before = Payout.objects.only("version", "updated_at").get(pk=paid)

        upgrading.migrate(upgrading.LATEST)

        after = Payout.objects.get(pk=paid)
        assert (after.deleted_at, after.version, after.updated_at > before.updated_at) == (
            None,
            before.version + 1,
            True,
        )
        assert Payout.objects.get(pk=failed).deleted_at is not None
        due_in = database.due_in_seconds(Payout.objects.get(pk=stuck))
        assert due_in is not None
        assert -60 < due_in <= 6 * 3600

    def test_can_be_undone(self, acme: Merchant) -> None:
        latest = indexes()
        ids = {status: upgrading.insert_payout(acme, status) for status in PayoutStatus}
        # What version 0.1 could not do.
        stuck = Payout.objects.get(pk=ids[PayoutStatus.REQUIRES_ATTENTION])
        operators.resolve_payout(stuck, target=PayoutStatus.PAID, actor="operator:ada", reason="on the statement")
        before = payouts_of_0_1()
        attempts = upgrading.rows(ATTEMPTS_OF_0_1)

        upgrading.migrate(V0_1)

        assert payouts_of_0_1() == before
        assert upgrading.rows(ATTEMPTS_OF_0_1) == attempts
        assert latest.keys() - indexes().keys() >= {"payout_leased", "payout_lane_of_sends", "payout_for_operator"}
        # It guards as version 0.1 did, ...
        change = partial(refused_by, ids[PayoutStatus.PAID])
        assert change("UPDATE payouts_payout SET status = 'pending' WHERE id = %s") == "payout_transition_allowed"
        assert change("UPDATE payouts_payout SET amount = 11 WHERE id = %s") == "payout_terms_fixed"
        assert change("DELETE FROM payouts_payout WHERE id = %s") == "payout_kept_for_audit"
        # ... which let attempts be changed.
        assert change("UPDATE payouts_payoutattempt SET code = 'x' WHERE payout_id = %s") is None
        # And forward once more.
        upgrading.migrate(upgrading.LATEST)
        assert indexes() == latest
        assert payouts_of_0_1() == before

    def test_cannot_be_undone_once_a_second_reference_was_given(self, acme: Merchant) -> None:
        """Version 0.1 would send the payout under the first once more."""
        payout_id = upgrading.insert_payout(acme, PayoutStatus.FAILED)
        Payout.objects.filter(pk=payout_id).update(status="pending", reference_number=2)

        with pytest.raises(IrreversibleError, match="second reference"):
            upgrading.migrate(V0_1)

        upgrading.migrate(upgrading.LATEST)
        assert Payout.objects.get().reference_number == 2

    def test_cannot_be_undone_once_a_reference_was_derived(self, make_payout: Callable[..., Payout]) -> None:
        """The previous version would send the payout under its id."""
        payout = make_payout(idempotency_key="k-1")

        with pytest.raises(IrreversibleError, match="derived from their idempotency keys"):
            upgrading.migrate("0014")

        upgrading.migrate(upgrading.LATEST)
        assert Payout.objects.get().own_reference == payout.own_reference

    def test_makes_the_index_of_references_again_when_it_was_interrupted(self) -> None:
        upgrading.migrate("0014")
        database.execute("ALTER TABLE payouts_payout ADD COLUMN own_reference uuid NULL")
        database.execute("CREATE INDEX payout_own_reference_unique ON payouts_payout (comment)")

        upgrading.migrate(upgrading.LATEST)

        assert indexes()["payout_own_reference_unique"].startswith("CREATE UNIQUE INDEX")


def refused_by(payout_id: uuid.UUID, sql: str) -> str | None:
    return database.refused_by(lambda: database.execute(sql, [payout_id]))
