from __future__ import annotations

from tests.storm import report
from tests.unit.storm import observations


class TestStory:
    def test_tells_what_happened_to_one_payout(self) -> None:
        told = report.story(observations.well(), observations.PAID_ID)

        assert told[0] == f"-- {observations.PAID_ID}"
        assert told[1].startswith("   Payout(id=")
        assert told[2:-1] == [
            "   new -> pending: reason",
            "   pending -> processing: reason",
            "   processing -> unknown: reason",
            "   unknown -> paid: reason",
            "   attempts 1 to 1: send, unknown",
            "   attempts 2 to 2: ask, paid",
        ]
        assert told[-1].startswith("   Transfer(reference=")

    def test_is_empty_where_it_is_about_no_payout(self) -> None:
        assert report.story(observations.well(), "client") == []


class TestTable:
    def test_has_a_figure_in_each_line(self) -> None:
        assert report.table(iter([("lost", 0), ("paid twice", 12)])) == "lost                 0\npaid twice          12"
