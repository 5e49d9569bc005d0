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
    # An operator has it sent again.
    ("failed", "pending"),
    # An operator has evidence that the money moved after all.
    ("failed", "paid"),
    ("canceled", "paid"),
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

        assert final == {PayoutStatus.RETURNED}

    @pytest.mark.parametrize("source", ["", "PAID", "done"])
    def test_know_no_other_status(self, source: str) -> None:
        with pytest.raises(ValueError, match="is not a valid PayoutStatus"):
            states.may_become(source, "paid")

    def test_bring_a_payout_that_may_be_deleted_back_to_life_by_an_operator_alone(self) -> None:
        """An operator cannot retry one that is deleted, and one that was paid is listed again."""
        back = {pair for pair in ALLOWED if pair[0] in states.DELETABLE}

        assert back == {("failed", "pending"), ("failed", "paid"), ("canceled", "paid")}
        assert back <= states.BY_OPERATORS_ALONE


# Where evidence of each kind leads a payout, and by which way. What is not here it cannot lead anywhere.
PATHS = {
    ("processing", "submitted"): ("submitted",),
    ("processing", "paid"): ("paid",),
    ("processing", "failed"): ("failed",),
    # Money that came back was paid first, ...
    ("processing", "returned"): ("paid", "returned"),
    ("submitted", "paid"): ("paid",),
    ("submitted", "failed"): ("failed",),
    ("submitted", "returned"): ("paid", "returned"),
    ("unknown", "submitted"): ("submitted",),
    ("unknown", "paid"): ("paid",),
    ("unknown", "failed"): ("failed",),
    ("unknown", "returned"): ("paid", "returned"),
    ("requires_attention", "paid"): ("paid",),
    ("requires_attention", "failed"): ("failed",),
    ("requires_attention", "returned"): ("paid", "returned"),
    ("paid", "returned"): ("returned",),
    # ... and what the provider has executed was processed first, whatever an operator's retry has made of it.
    ("pending", "submitted"): ("processing", "submitted"),
    ("pending", "paid"): ("processing", "paid"),
    ("pending", "failed"): ("processing", "failed"),
    ("pending", "returned"): ("processing", "paid", "returned"),
}


class TestPathOfEvidence:
    @pytest.mark.parametrize("source", PayoutStatus.values)
    @pytest.mark.parametrize("target", ["submitted", "paid", "failed", "returned"])
    def test_table(self, source: str, target: str) -> None:
        assert states.path_of_evidence(source, target) == PATHS.get((source, target), ())

    def test_takes_only_steps_that_the_table_allows(self) -> None:
        steps = {step for (source, _), path in PATHS.items() for step in itertools.pairwise((source, *path))}

        assert steps <= ALLOWED


# Where an operator with evidence takes a payout, and by which way.
RESOLUTIONS = {pair: path for pair, path in PATHS.items() if pair[0] != "processing"} | {
    ("failed", "paid"): ("paid",),
    ("failed", "returned"): ("paid", "returned"),
    ("canceled", "paid"): ("paid",),
    ("canceled", "returned"): ("paid", "returned"),
}


class TestPathOfResolution:
    @pytest.mark.parametrize("source", PayoutStatus.values)
    @pytest.mark.parametrize("target", ["paid", "failed", "returned"])
    def test_table(self, source: str, target: str) -> None:
        assert states.path_of_resolution(source, target) == RESOLUTIONS.get((source, target), ())

    def test_takes_only_steps_that_the_table_allows(self) -> None:
        steps = {step for (source, _), path in RESOLUTIONS.items() for step in itertools.pairwise((source, *path))}

        assert steps <= ALLOWED
