from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.storm import minima
from tests.storm.observed import Lie
from tests.unit.storm import observations


class TestOccurred:
    def test_counts_what_is_on_record_and_in_the_logs(self, tmp_path: Path) -> None:
        (tmp_path / "worker-1.log").write_text("INFO payout.evidence.late\nERROR provider.circuit.opened\n")
        (tmp_path / "worker-2.log").write_text("INFO payout.evidence.late\n")
        seen = replace(observations.well(), lies=[Lie(observations.PAID_ID, "hidden")])

        counts = minima.occurred(seen, logs=tmp_path)

        assert (counts["late evidence"], counts["circuits opened"], counts["promotions"]) == (2, 1, 0)
        assert (counts["payouts acknowledged"], counts["lies of the bank"], counts["callbacks applied"]) == (4, 1, 2)
        assert counts["seconds with as many calls as the bank takes"] == 1

    def test_counts_all_that_has_a_minimum(self, tmp_path: Path) -> None:
        counted = minima.occurred(observations.well(), logs=tmp_path)

        # The course of the storm itself knows the rest.
        assert minima.MINIMA.keys() - counted.keys() == {"changes of the bank's address"}


class TestMissing:
    def test_is_nothing_where_enough_occurred(self) -> None:
        assert minima.missing(minima.MINIMA) == []

    def test_says_what_did_not_occur_often_enough(self) -> None:
        counts = {**minima.MINIMA, "sent again": 0}

        assert minima.missing(counts) == ["sent again: 0, and 1 are needed"]
