from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.engine import retries


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


class TestLongestDelay:
    @pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (2, 10), (3, 12), (5000, 12)])
    def test_of_sends_may_be_set(self, attempt: int, seconds: float) -> None:
        assert retries.send_delay_seconds(attempt, delay_max=12.0, jitter=1.0) == seconds

    @pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 1)])
    def test_may_be_shorter_than_the_first(self, attempt: int, seconds: float) -> None:
        assert retries.ask_delay_seconds(attempt, delay_max=1.0, jitter=1.0) == seconds

    def test_of_asking_about_a_payment_is_six_hours(self) -> None:
        longest = retries.DELAY_MAX_SECONDS * retries.ASK_PAID_RARER

        assert longest == 6 * 3600
        assert retries.ask_delay_seconds(5000, delay_max=longest, jitter=1.0) == longest


class TestCircuitDelay:
    @pytest.mark.parametrize(
        ("time", "seconds"),
        [
            (1, 10),
            (2, 20),
            (5, 160),
            # 320 would be over the limit of 5 minutes.
            (6, 300),
            (5000, 300),
        ],
    )
    def test_doubles_up_to_a_limit(self, time: int, seconds: float) -> None:
        assert retries.circuit_delay_seconds(time) == seconds

    @pytest.mark.parametrize(("delay_max", "seconds"), [(15.0, 15), (900.0, 20), (1.0, 1)])
    def test_is_never_longer_than_any_delay(self, delay_max: float, seconds: float) -> None:
        assert retries.circuit_delay_seconds(2, delay_max=delay_max) == seconds


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
