from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from tests.storm import plan
from tests.storm.plan import Fault, Kind

SEEDS = range(200)


def dealt(fault: Fault) -> tuple[Kind, str]:
    """Which card of the deck it was."""
    return fault.kind, fault.target.split("-")[0]


def frozen_for_long(faults: Iterable[Fault]) -> set[str]:
    return {dealt(fault)[1] for fault in faults if fault.kind == Kind.FREEZE and fault.seconds > 9.0}


class TestMake:
    def test_is_the_same_for_the_same_seed_and_length(self) -> None:
        assert plan.make(seed=7, seconds=45) == plan.make(seed=7, seconds=45)

    def test_differs_by_seed(self) -> None:
        assert len({plan.make(seed=seed, seconds=45) for seed in SEEDS}) == len(SEEDS)

    def test_has_said_this_for_seed_1_and_must_go_on_so(self) -> None:
        """Who reports a seed counts on others seeing the same storm: on another machine, too."""
        first = plan.make(seed=1, seconds=45)[:3]

        assert first == (
            Fault(0.5, Kind.FREEZE, "worker-2", 4.7),
            Fault(1.6, Kind.FREEZE, "sweeper-1", 10.8),
            Fault(2.8, Kind.CUT, "to_bank", 0.0),
        )

    def test_deals_the_whole_deck_in_45_seconds(self) -> None:
        cards = {(card.kind, card.target) for card in plan.DECK}

        assert [seed for seed in SEEDS if {dealt(one) for one in plan.make(seed=seed, seconds=45)} != cards] == []

    def test_freezes_a_worker_and_a_sweeper_for_longer_than_a_lease(self) -> None:
        assert [
            seed for seed in SEEDS if frozen_for_long(plan.make(seed=seed, seconds=45)) != {"worker", "sweeper"}
        ] == []

    def test_leaves_a_target_alone_until_its_fault_is_over(self) -> None:
        for seed in SEEDS:
            faults = sorted(plan.make(seed=seed, seconds=180), key=lambda fault: (fault.target, fault.at))
            for earlier, later in itertools.pairwise(faults):
                assert earlier.target != later.target or earlier.ends_at < later.at, seed

    @pytest.mark.parametrize("seconds", [5, 45, 180])
    def test_begins_in_order_and_ends_with_the_storm(self, seconds: float) -> None:
        for seed in SEEDS:
            faults = plan.make(seed=seed, seconds=seconds)

            assert list(faults) == sorted(faults, key=lambda fault: fault.at)
            assert max(fault.ends_at for fault in faults) <= seconds

    def test_names_what_there_is(self) -> None:
        faults = plan.make(seed=1, seconds=600)

        assert {fault.target for fault in faults} == {*plan.PROCESSES, *plan.WIRES}
        assert {fault.kind for fault in faults} == set(Kind)
