from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts import retries


class TestSendDelay:
    @pytest.mark.parametrize(
        ("attempt", "seconds"),
        [
            (1, 5),
            (2, 10),
            (3, 20),
            (8, 640),
            # 1280 would be over the limit of 15 minutes.
            (9, 900),
            (10, 900),
            # A float would overflow at 2**1024.
            (5000, 900),
        ],
    )
    def test_doubles_up_to_a_limit(self, attempt: int, seconds: float) -> None:
        assert retries.send_delay_seconds(attempt, jitter=1.0) == seconds


class TestAskDelay:
    @pytest.mark.parametrize(("attempt", "seconds"), [(1, 2), (2, 4), (9, 512), (10, 900), (5000, 900)])
    def test_starts_earlier(self, attempt: int, seconds: float) -> None:
        assert retries.ask_delay_seconds(attempt, jitter=1.0) == seconds


class TestJitter:
    def test_is_a_part_of_the_whole_delay(self) -> None:
        assert retries.send_delay_seconds(3, jitter=0.0) == 0
        assert retries.send_delay_seconds(3, jitter=0.25) == 5
        assert retries.ask_delay_seconds(3, jitter=0.5) == 4

    def test_differs_from_one_payout_to_the_next(self) -> None:
        delays = {retries.send_delay_seconds(5) for _ in range(20)}

        assert len(delays) == 20

    @given(st.integers(min_value=1, max_value=10**6))
    def test_keeps_every_delay_within_its_limit(self, attempt: int) -> None:
        assert 0 <= retries.send_delay_seconds(attempt) <= retries.DELAY_MAX_SECONDS
        assert 0 <= retries.ask_delay_seconds(attempt) <= retries.DELAY_MAX_SECONDS
