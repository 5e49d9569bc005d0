"""The clocks of the world, against Python's own reckoning."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.summaries import time_zones

NAMES = sorted(available_timezones() - {"localtime", "Factory"})


def at(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


class TestOffsets:
    @given(
        name=st.sampled_from(NAMES),
        moment=st.datetimes(datetime(1970, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - of UTC
    )
    def test_are_those_of_python(self, name: str, moment: datetime) -> None:
        zone, moment = ZoneInfo(name), moment.replace(tzinfo=UTC)

        found = time_zones.offsets_of(zone)

        assert found.offsets[bisect_right(found.changes, moment)] == moment.astimezone(zone).utcoffset()

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("America/New_York", at(2026, 3, 8, 7)),
            ("America/New_York", at(2026, 11, 1, 6)),
            # Samoa, which left out a day.
            ("Pacific/Apia", at(2011, 12, 30, 10)),
            # It gave up half an hour for good.
            ("Asia/Pyongyang", at(2015, 8, 14, 15)),
        ],
    )
    def test_change_to_the_second(self, name: str, change: datetime) -> None:
        zone = ZoneInfo(name)
        found = time_zones.offsets_of(zone)

        number = found.changes.index(change)

        second = timedelta(seconds=1)
        assert found.offsets[number] == (change - second).astimezone(zone).utcoffset()
        assert found.offsets[number + 1] == change.astimezone(zone).utcoffset()
        assert found.offsets[number] != found.offsets[number + 1]

    @pytest.mark.parametrize(
        ("name", "start", "end", "expected"),
        [
            ("Etc/UTC", at(1, 1, 1), at(2026, 1, 1), True),
            ("Africa/Abidjan", at(1, 1, 1), at(2026, 1, 1), True),
            ("Asia/Kathmandu", at(2026, 1, 1), at(2026, 1, 2), False),
            # London in winter, up to the moment when the clocks are put forward, in summer, and over both.
            ("Europe/London", at(2026, 1, 1), at(2026, 3, 29), True),
            ("Europe/London", at(2026, 1, 1), at(2026, 3, 29, 1), False),
            ("Europe/London", at(2026, 6, 1), at(2026, 6, 2), False),
            ("Europe/London", at(2026, 3, 1), at(2026, 4, 1), False),
            ("Europe/London", at(2025, 12, 1), at(2026, 12, 1), False),
            # ... and as far back as there are payouts, which is further than it had winters.
            ("Europe/London", at(1, 1, 1), at(2026, 1, 2), False),
            # An hour ahead of UTC all year but for the month of Ramadan.
            ("Africa/Casablanca", at(2025, 3, 1), at(2025, 3, 20), True),
            ("Africa/Casablanca", at(2025, 2, 1), at(2025, 3, 20), False),
        ],
    )
    def test_tell_when_a_zone_agrees_with_utc(
        self, name: str, start: datetime, end: datetime, *, expected: bool
    ) -> None:
        assert time_zones.offsets_of(ZoneInfo(name)).are_none(start, end) is expected
