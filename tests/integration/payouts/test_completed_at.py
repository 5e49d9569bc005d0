"""When a payout was over: written with the status, by this version and by the one before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import transaction

from payouts import operators, services, states, transitions
from payouts.engine import processing
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import database

MakePayout = Callable[..., Payout]

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


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
