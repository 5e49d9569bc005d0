from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rest import moments

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class TestParse:
    @pytest.mark.parametrize(
        ("text", "moment"),
        [
            ("2026-01-31T12:00:00Z", NOON),
            # RFC 3339, section 5.6: T and Z may be lower case.
            ("2026-01-31t12:00:00z", NOON),
            ("2026-01-31T12:00:00+00:00", NOON),
            # An offset that is not known; the time in UTC is.
            ("2026-01-31T12:00:00-00:00", NOON),
            ("2026-01-31T17:30:00+05:30", NOON),
            ("2026-01-30T12:01:00-23:59", NOON),
            ("2026-01-31T12:00:00.0Z", NOON),
            ("2026-01-31T12:00:00.25z", NOON + timedelta(milliseconds=250)),
            ("2026-01-31T12:00:00.000001Z", NOON + timedelta(microseconds=1)),
            ("2026-01-31T12:00:00.000000000Z", NOON),
            # Finer than what is stored: up.
            ("2026-01-31T12:00:00.0000001Z", NOON + timedelta(microseconds=1)),
            ("2026-01-31T12:00:00.9999999Z", NOON + timedelta(seconds=1)),
            ("2026-01-31T12:00:00." + "0" * 5000 + "1Z", NOON + timedelta(microseconds=1)),
            ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
            ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
            ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
            # Past the ends of the calendar in UTC.
            ("0001-01-01T00:00:00+00:01", datetime.min.replace(tzinfo=UTC)),
            ("9999-12-31T23:59:59-00:01", datetime.max.replace(tzinfo=UTC)),
            ("9999-12-31T23:59:59.9999999Z", datetime.max.replace(tzinfo=UTC)),
            ("9999-12-31T23:59:60Z", datetime.max.replace(tzinfo=UTC)),
            # Leap seconds, of which the first three happened.
            ("1990-12-31T23:59:60Z", datetime(1991, 1, 1, tzinfo=UTC)),
            ("1990-12-31T15:59:60-08:00", datetime(1991, 1, 1, tzinfo=UTC)),
            ("2016-12-31T23:59:60.5Z", datetime(2017, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
            ("2026-01-31T23:59:60Z", datetime(2026, 2, 1, tzinfo=UTC)),
        ],
    )
    def test_reads_rfc_3339(self, text: str, moment: datetime) -> None:
        parsed = moments.parse(text)

        assert parsed == moment
        assert parsed is not None
        assert parsed.tzinfo is UTC

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31 12:00:00Z",
            "2026-01-31_12:00:00Z",
            "2026-01-31T12:00:00 Z",
            " 2026-01-31T12:00:00Z",
            "2026-01-31T12:00:00Z\n",
            # Other forms of ISO 8601: week, day of the year, without separators, without seconds.
            "2026-W05-6T12:00:00Z",
            "2026W056T120000Z",
            "2026-031T12:00:00Z",
            "20260131T120000Z",
            "2026-01-31T120000Z",
            "20260131T12:00:00Z",
            "2026-01-31T12:00Z",
            "2026-01-31T12Z",
            "2026-01-31T12:00:00,25Z",
            "2026-01-31T12:00:00.Z",
            "2026-1-31T12:00:00Z",
            "+002026-01-31T12:00:00Z",
            "-2026-01-31T12:00:00Z",
            "12026-01-31T12:00:00Z",
            "2026-01-31T12:00:00+01",
            "2026-01-31T12:00:00+0100",
            "2026-01-31T12:00:00+1:00",
            "2026-01-31T12:00:00+01:00:00",
            "2026-01-31T12:00:00\u221201:00",
            "2026-01-31T12:00:00UTC",
            # Digits of other scripts.
            "\u0662026-01-31T12:00:00Z",
            "2026-01-31T12:00:0\uff10Z",
            # What no calendar and no clock has.
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:61Z",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+99:00",
            "2026-01-31T12:00:00+01:60",
            # Leap seconds where none can be.
            "2026-01-31T12:00:60Z",
            "2026-01-30T23:59:60Z",
            "2026-01-31T23:59:60+01:00",
            # What Python's calendar does not have.
            "0000-01-01T00:00:00Z",
        ],
    )
    def test_reads_nothing_else(self, text: str) -> None:
        assert moments.parse(text) is None

    @given(
        st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31)),  # noqa: DTZ001 - the zone is drawn
        st.integers(min_value=-1439, max_value=1439),
    )
    def test_reads_what_python_writes(self, moment: datetime, minutes: int) -> None:
        aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

        assert moments.parse(aware.isoformat()) == aware

    @given(st.text() | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}"))
    def test_answers_for_every_text(self, text: str) -> None:
        parsed = moments.parse(text)

        assert parsed is None or parsed.tzinfo is UTC


class TestParseDay:
    def test_reads_a_day(self) -> None:
        assert moments.parse_day("2024-02-29") == date(2024, 2, 29)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2026-02-29",
            "20260131",
            "2026-W05-6",
            "2026-031",
            "0000-01-01",
            "2026-01-31T00:00:00Z",
            "\u0662026-01-31",
        ],
    )
    def test_reads_nothing_else(self, text: str) -> None:
        assert moments.parse_day(text) is None
