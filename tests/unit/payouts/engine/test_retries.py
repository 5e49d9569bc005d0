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

    @pytest.mark.parametrize(
        ("waited_seconds", "seconds"),
        [
            (0, 900),
            (18_000, 900),
            # From five hours on, a twentieth of them is more than the longest delay.
            (86_400, 4320),
            (72 * 3600, 12_960),
        ],
    )
    def test_is_a_twentieth_of_the_time_already_waited_at_least(self, waited_seconds: float, seconds: float) -> None:
        assert retries.ask_delay_seconds(5000, waited_seconds=waited_seconds, jitter=1.0) == seconds
        assert retries.ask_delay_seconds(1, waited_seconds=waited_seconds, jitter=0.0) == waited_seconds / 20

    @pytest.mark.parametrize(("attempt", "waited_seconds", "seconds"), [(1, 0, 8), (5000, 0, 3600), (1, 8000, 1600)])
    def test_is_four_times_as_long_with_callbacks(self, attempt: int, waited_seconds: float, seconds: float) -> None:
        delay = retries.ask_delay_seconds(attempt, waited_seconds=waited_seconds, has_callbacks=True, jitter=1.0)

        assert delay == seconds


class TestReturnDelay:
    @pytest.mark.parametrize(("has_callbacks", "hours"), [(False, [2, 4, 8, 16, 32, 64]), (True, [16, 32, 64])])
    def test_spreads_the_questions_over_the_window(self, *, has_callbacks: bool, hours: list[float]) -> None:
        waited = 0.0
        asked_at: list[float] = []
        while delay := retries.return_delay_seconds(
            len(asked_at), waited_seconds=waited, window_seconds=64 * 3600.0, has_callbacks=has_callbacks
        ):
            waited += delay
            asked_at.append(waited / 3600)

        assert asked_at == hours

    def test_of_a_late_question_is_a_twentieth_too(self) -> None:
        assert retries.return_delay_seconds(0, waited_seconds=40.0, window_seconds=64.0) == 2.0

    @pytest.mark.parametrize(("asked", "waited_seconds"), [(6, 0.0), (7, 0.0), (0, 64.0), (3, 65.0)])
    def test_is_none_once_all_are_asked_or_the_window_is_over(self, asked: int, waited_seconds: float) -> None:
        assert retries.return_delay_seconds(asked, waited_seconds=waited_seconds, window_seconds=64.0) is None


class TestLongestDelay:
    @pytest.mark.parametrize(("attempt", "seconds"), [(1, 5), (2, 10), (3, 12), (5000, 12)])
    def test_of_sends_may_be_set(self, attempt: int, seconds: float) -> None:
        assert retries.send_delay_seconds(attempt, delay_max=12.0, jitter=1.0) == seconds

    @pytest.mark.parametrize(("attempt", "seconds"), [(1, 1), (2, 1)])
    def test_may_be_shorter_than_the_first(self, attempt: int, seconds: float) -> None:
        assert retries.ask_delay_seconds(attempt, delay_max=1.0, jitter=1.0) == seconds


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
