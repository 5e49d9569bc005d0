"""A range of time, divided between cells and payouts: each moment is told once."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.summaries.coverage import Coverage, Range, all_live, divide

HOUR = timedelta(hours=1)


def at(day: int, hour: float = 0) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC) + hour * HOUR


def day(number: int) -> date:
    return date(2026, 1, number)


def divided(start: datetime | None, end: datetime | None, closed: int, *marked: int) -> Coverage:
    return divide(start, end, closed_before=day(closed), marked_days=[day(number) for number in marked])


# A comment for each row: what is asked for, and how far the roll-up has come.
TABLE = [
    # Everything.
    (divided(None, None, 5), Coverage(date.min, day(5), (), (Range(at(5), None),))),
    # Whole days that are closed: cells alone.
    (divided(at(2), at(4), 5), Coverage(day(2), day(4), (), ())),
    # From the middle of a day to the middle of another.
    (divided(at(2, 12), at(4, 6), 5), Coverage(day(3), day(4), (), (Range(at(2, 12), at(3)), Range(at(4), at(4, 6))))),
    # ... beyond what is closed.
    (divided(at(2, 12), None, 5), Coverage(day(3), day(5), (), (Range(at(2, 12), at(3)), Range(at(5), None)))),
    # Within one day, within two halves of days, after the last closed day, and nothing at all: no cells.
    (divided(at(2, 1), at(2, 2), 5), all_live(at(2, 1), at(2, 2))),
    (divided(at(2, 12), at(3, 12), 5), all_live(at(2, 12), at(3, 12))),
    (divided(at(5), None, 5), all_live(at(5), None)),
    (divided(at(2), at(2), 5), all_live(at(2), at(2))),
    # Marked days are read live, those side by side as one range.
    (
        divided(at(1), at(9), 9, 2, 3, 5),
        Coverage(day(1), day(9), (day(2), day(3), day(5)), (Range(at(2), at(4)), Range(at(5), at(6)))),
    ),
    # ... together with the ends that they adjoin.
    (
        divided(at(1, 12), at(4, 12), 9, 2, 3),
        Coverage(day(2), day(4), (day(2), day(3)), (Range(at(1, 12), at(4, 12)),)),
    ),
    (divided(None, None, 3, 2), Coverage(date.min, day(3), (day(2),), (Range(at(2), None),))),
    # Marks of days that are not asked for, or are read live anyway, are none.
    (divided(at(3), at(4), 5, 2, 4, 5), Coverage(day(3), day(4), (), ())),
]


class TestDivide:
    @pytest.mark.parametrize(("found", "expected"), TABLE)
    def test_divides(self, found: Coverage, expected: Coverage) -> None:
        assert found == expected

    def test_takes_moments_with_any_offset(self) -> None:
        tokyo = timezone(9 * HOUR)
        start, end = (datetime(2026, 1, number, 9, tzinfo=tokyo) for number in (2, 4))

        assert divided(start, end, 5) == Coverage(day(2), day(4), (), ())

    @pytest.mark.parametrize("offset", [-23.9, 0, 23.9])
    @pytest.mark.parametrize("is_early", [True, False])
    def test_bears_the_ends_of_the_calendar(self, offset: float, *, is_early: bool) -> None:
        moment = time.min if is_early else time.max
        edge = datetime.combine(date.min if is_early else date.max, moment, timezone(offset * HOUR))

        after, before = divided(edge, None, 5), divided(None, edge, 5)

        assert (after.has_cells, before.has_cells) == (is_early, not is_early)
        assert {after.end_day, before.end_day} >= {day(5)}

    @given(
        hours=st.lists(st.integers(-30, 270), min_size=2, max_size=2).map(sorted),
        is_open=st.tuples(st.booleans(), st.booleans()),
        closed=st.integers(1, 12),
        marked=st.sets(st.integers(1, 12)),
    )
    def test_tells_each_moment_once(
        self, hours: list[int], is_open: tuple[bool, bool], closed: int, marked: set[int]
    ) -> None:
        start, end = (None if is_left else at(1, hour) for is_left, hour in zip(is_open, hours, strict=True))

        coverage = divided(start, end, closed, *marked)

        for hour in range(-60, 300):
            moment = at(1, hour)
            is_asked_for = (start is None or moment >= start) and (end is None or moment < end)
            of_cells = coverage.first_day <= moment.date() < coverage.end_day
            of_cells = of_cells and moment.date() not in coverage.marked_days
            live = [
                (each.start is None or moment >= each.start) and (each.end is None or moment < each.end)
                for each in coverage.live
            ]
            assert [of_cells, *live].count(True) == is_asked_for
            # Cells tell only what they know.
            assert not of_cells or (moment.date() < day(closed) and moment.date() not in {day(each) for each in marked})
