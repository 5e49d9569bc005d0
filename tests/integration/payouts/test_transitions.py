from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, models, transaction
from django.db.models.functions import Now

from payouts import errors, transitions
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import database, racing


@pytest.mark.django_db
class TestMove:
    def test_changes_status_and_appends_history(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        moved = transitions.move(
            payout.pk, source=PayoutStatus.PENDING, target=PayoutStatus.CANCELED, actor="operator:ada", reason="asked"
        )

        assert moved is not None
        assert (moved.status, moved.version) == ("canceled", payout.version + 1)
        assert moved.updated_at > payout.created_at
        assert database.history(payout)[1:] == [("pending", "canceled", "operator:ada", "asked")]

    def test_changes_other_columns_with_it(self, make_payout: Callable[..., Payout]) -> None:
        payout = database.put_into(make_payout(), PayoutStatus.PROCESSING)

        moved = transitions.move(
            payout.pk,
            source=PayoutStatus.PROCESSING,
            target=PayoutStatus.FAILED,
            actor="worker",
            reason="refused",
            failure_code="account_closed",
            due_at=None,
        )

        assert moved is not None
        assert (moved.failure_code, moved.due_at) == ("account_closed", None)

    def test_does_nothing_in_another_status(self, make_payout: Callable[..., Payout]) -> None:
        payout = database.put_into(make_payout(), PayoutStatus.PROCESSING)

        moved = transitions.move(
            payout.pk, source=PayoutStatus.PENDING, target=PayoutStatus.CANCELED, actor="x", reason="x"
        )

        assert moved is None
        payout.refresh_from_db()
        assert (payout.status, payout.version) == ("processing", 1)
        assert database.statuses(payout) == ["pending"]

    def test_does_nothing_where_the_condition_fails(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        moved = transitions.move(
            payout.pk,
            source=PayoutStatus.PENDING,
            target=PayoutStatus.PROCESSING,
            actor="x",
            reason="x",
            only_if=models.Q(due_at__gt=Now()),
        )

        assert moved is None
        assert database.statuses(payout) == ["pending"]

    def test_gives_up_the_lease(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()
        Payout.objects.filter(pk=payout.pk).update(
            status=PayoutStatus.PROCESSING,
            lease_token="018f0000-0000-7000-8000-000000000000",
            lease_expires_at=datetime.now(UTC) + timedelta(minutes=1),
        )

        moved = transitions.move(
            payout.pk, source=PayoutStatus.PROCESSING, target=PayoutStatus.PAID, actor="x", reason="x"
        )

        assert moved is not None
        assert (moved.lease_token, moved.lease_expires_at) == (None, None)

    def test_refuses_what_the_table_does_not_name(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        with pytest.raises(errors.TransitionNotAllowed, match="pending -> paid"):
            transitions.move(payout.pk, source=PayoutStatus.PENDING, target=PayoutStatus.PAID, actor="x", reason="x")

        assert database.statuses(payout) == ["pending"]

    def test_shortens_a_reason_that_is_too_long(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        transitions.move(
            payout.pk, source=PayoutStatus.PENDING, target=PayoutStatus.CANCELED, actor="x", reason="r" * 600
        )

        assert database.history(payout)[1][3] == "r" * 500


@pytest.mark.django_db(transaction=True)
class TestMoveInTransactions:
    def test_one_of_many_succeeds(self, make_payout: Callable[..., Payout]) -> None:
        payout = make_payout()

        def cancel() -> Payout | None:
            return transitions.move(
                payout.pk, source=PayoutStatus.PENDING, target=PayoutStatus.CANCELED, actor="x", reason="x"
            )

        results = racing.run_together(*[cancel] * 8)

        assert sum(isinstance(result, Payout) for result in results) == 1
        assert results.count(None) == 7
        assert database.statuses(payout) == ["pending", "canceled"]

    def test_leaves_nothing_on_rollback(
        self, make_payout: Callable[..., Payout], caplog: pytest.LogCaptureFixture
    ) -> None:
        payout = make_payout()
        caplog.set_level(logging.INFO)
        caplog.clear()

        with transaction.atomic():
            transitions.move(
                payout.pk, source=PayoutStatus.PENDING, target=PayoutStatus.CANCELED, actor="x", reason="x"
            )
            transaction.set_rollback(True)

        payout.refresh_from_db()
        assert payout.status == "pending"
        assert database.statuses(payout) == ["pending"]
        assert [record.message for record in caplog.records] == []
        assert connection.in_atomic_block is False
