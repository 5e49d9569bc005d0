"""An operator says what became of a payout, with a reason on record."""

from __future__ import annotations

import pytest
from django.db import transaction

from payouts import errors, operators, services
from payouts.models import Payout
from payouts.states import PayoutStatus
from tests.support import database, telling
from tests.support.fake_provider import FakeProvider
from tests.support.operating import ADA, UNUSABLE_REASONS

pytestmark = pytest.mark.django_db


class TestResolveContradicted:
    def test_a_failed_one_was_paid_after_all(self, contradicted_payout: Payout) -> None:
        resolved = operators.resolve_payout(contradicted_payout, target=PayoutStatus.PAID, **ADA)

        assert (resolved.status, resolved.failure_code, resolved.contradicted_at) == ("paid", "", None)
        assert database.history(resolved)[-1] == ("failed", "paid", ADA["actor"], ADA["reason"])

    def test_a_failed_one_is_not_failed_once_more(self, contradicted_payout: Payout) -> None:
        with pytest.raises(errors.PayoutNotInAttention), transaction.atomic():
            operators.resolve_payout(contradicted_payout, target=PayoutStatus.FAILED, **ADA)

    def test_a_pending_one_is_not_the_merchants_to_cancel(self, provider: FakeProvider, refused_payout: Payout) -> None:
        operators.retry_payout(refused_payout, **ADA)
        telling.tell(refused_payout.pk, "paid")

        with pytest.raises(errors.PayoutNotCancelable), transaction.atomic():
            services.cancel_payout(refused_payout, actor="merchant:x")
        with pytest.raises(errors.PayoutNotChangeable), transaction.atomic():
            services.update_payout(refused_payout, amount=99)

        refused_payout.refresh_from_db()
        assert refused_payout.status == "pending"
        resolved = operators.resolve_payout(refused_payout, target=PayoutStatus.FAILED, **ADA)
        assert (resolved.status, resolved.failure_code) == ("failed", "resolved_by_operator")


class TestResolve:
    @pytest.mark.parametrize(
        ("target", "failure_code", "outcome"), [("paid", "", "paid"), ("failed", "resolved_by_operator", "rejected")]
    )
    def test_settles_with_the_reason_on_record(
        self, stuck_payout: Payout, target: str, failure_code: str, outcome: str
    ) -> None:
        resolved = operators.resolve_payout(
            stuck_payout, target=PayoutStatus(target), actor="operator:ada", reason=" line 7 "
        )

        assert (resolved.status, resolved.failure_code, resolved.due_at) == (target, failure_code, None)
        assert database.history(resolved)[-1] == ("requires_attention", target, "operator:ada", "line 7")
        attempt = resolved.attempts.get(kind="operator")
        assert (attempt.number, attempt.outcome, attempt.actor, attempt.message) == (
            3,
            outcome,
            "operator:ada",
            "line 7",
        )

    @pytest.mark.parametrize(("reason", "refusal"), UNUSABLE_REASONS)
    def test_needs_a_reason(self, stuck_payout: Payout, reason: str, refusal: type[Exception]) -> None:
        with pytest.raises(refusal), transaction.atomic():
            operators.resolve_payout(stuck_payout, target=PayoutStatus.PAID, actor="operator:ada", reason=reason)

        stuck_payout.refresh_from_db()
        assert (stuck_payout.status, stuck_payout.attempts_count) == ("requires_attention", 2)

    @pytest.mark.parametrize("status", [status for status in PayoutStatus if status != PayoutStatus.REQUIRES_ATTENTION])
    def test_refuses_every_other_status(self, live_payout: Payout, status: PayoutStatus) -> None:
        database.put_into(live_payout, status)

        with (
            pytest.raises(errors.PayoutNotInAttention, match=f"This payout is {status.label.lower()}"),
            transaction.atomic(),
        ):
            operators.resolve_payout(live_payout, target=PayoutStatus.PAID, **ADA)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.attempts_count) == (status, 0)

    @pytest.mark.parametrize("target", [PayoutStatus.PENDING, PayoutStatus.CANCELED, PayoutStatus.SUBMITTED])
    def test_knows_three_ends(self, stuck_payout: Payout, target: PayoutStatus) -> None:
        with pytest.raises(KeyError), transaction.atomic():
            operators.resolve_payout(stuck_payout, target=target, **ADA)

        stuck_payout.refresh_from_db()
        assert stuck_payout.status == "requires_attention"

    def test_is_not_overruled_by_what_comes_late(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        operators.resolve_payout(stuck_payout, target=PayoutStatus.FAILED, **ADA)

        callback = telling.tell(stuck_payout.pk, "paid")

        stuck_payout.refresh_from_db()
        assert (callback.result, stuck_payout.status) == ("contradicted", "failed")
        assert stuck_payout.contradicted_at is not None
