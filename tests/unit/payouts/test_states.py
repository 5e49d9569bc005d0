from __future__ import annotations

import itertools

import pytest

from payouts import states
from payouts.states import PayoutStatus

# Written out a second time on purpose: a change of the table must be meant.
ALLOWED = {
    # A worker takes it, or the merchant calls it off.
    ("pending", "processing"),
    ("pending", "canceled"),
    # What the provider's answer showed; back to pending only when nothing was sent.
    ("processing", "submitted"),
    ("processing", "paid"),
    ("processing", "failed"),
    ("processing", "unknown"),
    ("processing", "pending"),
    # How it ended, or an operator has to look.
    ("submitted", "paid"),
    ("submitted", "failed"),
    ("submitted", "requires_attention"),
    # What asking showed; back to processing is a second send with the same reference.
    ("unknown", "submitted"),
    ("unknown", "paid"),
    ("unknown", "failed"),
    ("unknown", "processing"),
    ("unknown", "requires_attention"),
    # What an operator found out.
    ("requires_attention", "paid"),
    ("requires_attention", "failed"),
    ("requires_attention", "pending"),
    # Money came back.
    ("paid", "returned"),
}
PAIRS = list(itertools.product(PayoutStatus.values, repeat=2))


class TestTransitions:
    @pytest.mark.parametrize(("source", "target"), PAIRS)
    def test_follow_the_table(self, source: str, target: str) -> None:
        assert states.may_become(source, target) is ((source, target) in ALLOWED)

    def test_have_a_row_for_every_status(self) -> None:
        assert states.TRANSITIONS.keys() == set(PayoutStatus)

    def test_never_lead_to_the_same_status(self) -> None:
        assert all(source != target for source, target in ALLOWED)

    def test_lead_from_pending_to_every_status(self) -> None:
        reached, fresh = {"pending"}, {"pending"}
        while fresh:
            fresh = {target for source, target in ALLOWED if source in fresh} - reached
            reached |= fresh

        assert reached == set(PayoutStatus.values)

    def test_end_in_statuses_that_stay(self) -> None:
        final = {status for status in PayoutStatus if not states.TRANSITIONS[status]}

        assert final == {PayoutStatus.FAILED, PayoutStatus.CANCELED, PayoutStatus.RETURNED}

    @pytest.mark.parametrize("source", ["", "PAID", "done"])
    def test_know_no_other_status(self, source: str) -> None:
        with pytest.raises(ValueError, match="is not a valid PayoutStatus"):
            states.may_become(source, "paid")

    def test_never_bring_a_payout_that_may_be_deleted_back_to_life(self) -> None:
        assert {target for source, target in ALLOWED if source in states.DELETABLE} == set()


class TestLeadsTo:
    @pytest.mark.parametrize("source", PayoutStatus.values)
    @pytest.mark.parametrize("target", [status for status in PayoutStatus.values if status != "returned"])
    def test_is_the_table_itself(self, source: str, target: str) -> None:
        assert states.leads_to(source, target) is ((source, target) in ALLOWED)

    # Money that came back was paid first, so what can be paid can be found returned.
    @pytest.mark.parametrize("source", PayoutStatus.values)
    def test_goes_through_paid_to_returned(self, source: str) -> None:
        expected = {"processing", "submitted", "unknown", "requires_attention", "paid"}

        assert states.leads_to(source, "returned") is (source in expected)
