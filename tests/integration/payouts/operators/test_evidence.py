"""What an operator may record, by the evidence that there is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import transaction

from payouts import errors, operators, services
from payouts.engine import processing
from payouts.models import Payout
from payouts.providers import registry
from payouts.states import PayoutStatus
from tests.support import database
from tests.support.fake_provider import FakeProvider
from tests.support.operating import ADA

pytestmark = pytest.mark.django_db

MakePayout = Callable[..., Payout]


class TestEvidenceDecides:
    """Not the order of clicks: what the provider said stays on record, and an operator may name other evidence."""

    def test_a_failed_one_that_was_acknowledged_first_can_still_be_paid(self, contradicted_payout: Payout) -> None:
        operators.acknowledge_contradiction(contradicted_payout, **ADA)

        resolved = operators.resolve_payout(contradicted_payout, target=PayoutStatus.PAID, **ADA)

        assert (resolved.status, resolved.failure_code) == ("paid", "")

    def test_a_failed_one_of_which_nothing_is_said_needs_evidence(self, refused_payout: Payout) -> None:
        with pytest.raises(errors.PayoutNotInAttention, match="the evidence"), transaction.atomic():
            operators.resolve_payout(refused_payout, target=PayoutStatus.PAID, **ADA)

        resolved = operators.resolve_payout(
            refused_payout, target=PayoutStatus.PAID, evidence="statement 12, line 7", **ADA
        )

        stated = "line 7 of the statement (evidence: statement 12, line 7)"
        assert database.history(resolved)[-1] == ("failed", "paid", "operator:ada", stated)
        assert resolved.attempts.get(kind="operator").message == stated

    @pytest.mark.parametrize(
        ("source", "target", "path"),
        [
            (PayoutStatus.CANCELED, PayoutStatus.PAID, ["paid"]),
            (PayoutStatus.CANCELED, PayoutStatus.RETURNED, ["paid", "returned"]),
            (PayoutStatus.PAID, PayoutStatus.RETURNED, ["returned"]),
            (PayoutStatus.PENDING, PayoutStatus.PAID, ["processing", "paid"]),
            (PayoutStatus.UNKNOWN, PayoutStatus.FAILED, ["failed"]),
            (PayoutStatus.SUBMITTED, PayoutStatus.PAID, ["paid"]),
        ],
    )
    def test_the_truth_can_be_recorded_with_evidence(
        self, provider: FakeProvider, live_payout: Payout, source: PayoutStatus, target: PayoutStatus, path: list[str]
    ) -> None:
        database.put_into(live_payout, source)

        resolved = operators.resolve_payout(live_payout, target=target, evidence="statement 12, line 7", **ADA)

        assert database.statuses(resolved)[1:] == path
        assert resolved.failure_code == ("" if target == PayoutStatus.PAID else "resolved_by_operator")
        assert (resolved.due_at, resolved.contradicted_at) == (None, None)
        processing.process(resolved.pk)
        assert provider.calls == []

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            (PayoutStatus.PROCESSING, PayoutStatus.PAID),
            (PayoutStatus.PAID, PayoutStatus.FAILED),
            (PayoutStatus.FAILED, PayoutStatus.FAILED),
            (PayoutStatus.CANCELED, PayoutStatus.FAILED),
            (PayoutStatus.RETURNED, PayoutStatus.PAID),
        ],
    )
    def test_no_evidence_leads_anywhere_else(
        self, live_payout: Payout, source: PayoutStatus, target: PayoutStatus
    ) -> None:
        database.put_into(live_payout, source)

        with pytest.raises(errors.PayoutNotInAttention), transaction.atomic():
            operators.resolve_payout(live_payout, target=target, evidence="statement 12, line 7", **ADA)

        live_payout.refresh_from_db()
        assert live_payout.status == source

    def test_evidence_that_makes_the_reason_too_long_is_refused(self, stuck_payout: Payout) -> None:
        with pytest.raises(errors.ReasonUnusable), transaction.atomic():
            operators.resolve_payout(
                stuck_payout, target=PayoutStatus.PAID, actor="operator:ada", reason="r" * 490, evidence="line 7"
            )


class TestDeletedByTheMerchant:
    """Money that moved is in the merchant's list and sums, whatever was deleted before."""

    @pytest.mark.parametrize("target", [PayoutStatus.PAID, PayoutStatus.RETURNED])
    def test_is_listed_again_when_money_moved(self, contradicted_payout: Payout, target: PayoutStatus) -> None:
        services.delete_payout(contradicted_payout, actor="merchant:x")
        listed = Payout.objects.of_merchant(contradicted_payout.merchant_id, "live")
        assert not listed.exists()

        operators.resolve_payout(contradicted_payout, target=target, **ADA)

        assert [(payout.status, payout.deleted_at) for payout in listed] == [(target, None)]
        (reason,) = [row[3] for row in database.history(contradicted_payout) if row[:2] == ("failed", "paid")]
        assert reason == "line 7 of the statement (listed again: the merchant had deleted it)"

    def test_is_said_of_no_other(self, contradicted_payout: Payout) -> None:
        operators.resolve_payout(contradicted_payout, target=PayoutStatus.PAID, **ADA)

        assert database.history(contradicted_payout)[-1][3] == ADA["reason"]


class TestProviderGone:
    """A provider that was taken out of the settings leaves its payouts within the operator's reach."""

    @pytest.fixture
    def left_payout(self, stuck_payout: Payout, monkeypatch: pytest.MonkeyPatch) -> Payout:
        monkeypatch.delitem(registry.PROVIDERS, "fake")
        return stuck_payout

    @pytest.mark.parametrize("act", [operators.ask_about_payout, operators.retry_payout])
    def test_refuses_what_needs_the_provider_with_a_sentence(
        self, left_payout: Payout, act: Callable[..., Payout]
    ) -> None:
        with pytest.raises(errors.ProviderGone, match="does not have the provider"), transaction.atomic():
            act(left_payout, **ADA)

        left_payout.refresh_from_db()
        assert (left_payout.status, left_payout.attempts_count) == ("requires_attention", 2)

    @pytest.mark.parametrize("source", [PayoutStatus.PENDING, PayoutStatus.UNKNOWN, PayoutStatus.SUBMITTED])
    @pytest.mark.parametrize("target", [PayoutStatus.PAID, PayoutStatus.FAILED])
    def test_lets_an_operator_resolve(
        self, live_payout: Payout, monkeypatch: pytest.MonkeyPatch, source: PayoutStatus, target: PayoutStatus
    ) -> None:
        database.put_into(live_payout, source)
        monkeypatch.delitem(registry.PROVIDERS, "fake")

        resolved = operators.resolve_payout(live_payout, target=target, **ADA)

        assert resolved.status == target
