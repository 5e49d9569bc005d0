from __future__ import annotations

import pytest

from sandbox_bank.callbacks import Backoff
from sandbox_bank.faults import DURATIONS, LOOKUPS, PROBABILITIES, FaultInjector, check
from sandbox_bank.responses import Refusal


class TestDice:
    def test_strike_nothing_at_first(self) -> None:
        draw = FaultInjector().draw()

        assert (draw.triggered, dict(draw.durations)) == (frozenset(), {})

    def test_strike_always_and_never(self) -> None:
        injector = FaultInjector()
        injector.set({"slow": 1.0, "answer_lost": 0, "slow_seconds": 2})

        draws = [injector.draw() for _ in range(100)]

        assert {draw.triggered for draw in draws} == {frozenset({"slow"})}
        assert dict(draws[0].durations) == {"slow_seconds": 2}

    def test_strike_as_often_as_they_should(self) -> None:
        injector = FaultInjector()
        injector.set({"seed": 1, "truncated": 0.25})

        triggered = sum("truncated" in injector.draw().triggered for _ in range(4000))

        assert triggered == pytest.approx(1000, abs=100)

    def test_fall_the_same_for_the_same_seed(self) -> None:
        faults = {"seed": 5, **dict.fromkeys(PROBABILITIES, 0.5)}
        first, second = FaultInjector(), FaultInjector()
        first.set(faults)
        second.set(faults)

        draws = [first.draw() for _ in range(50)]

        assert [second.draw() for _ in range(50)] == draws
        assert len({draw.triggered for draw in draws}) > 40

    def test_fall_for_each_fault_by_itself(self) -> None:
        # Switching another fault on must not move this one.
        alone, beside = FaultInjector(), FaultInjector()
        alone.set({"seed": 5, "slow": 0.5})
        beside.set({"seed": 5, "slow": 0.5, "rejected": 0.5, "answer_lost": 0.5})

        assert ["slow" in alone.draw().triggered for _ in range(50)] == [
            "slow" in beside.draw().triggered for _ in range(50)
        ]

    def test_of_lookups_move_no_others(self) -> None:
        alone, asked = FaultInjector(), FaultInjector()
        for injector in (alone, asked):
            injector.set({"seed": 5, "slow": 0.5, "lookup_stale": 0.5})

        lookups = [asked.draw_lookup().triggered for _ in range(20)]

        assert set(lookups) == {frozenset(), frozenset({"lookup_stale"})}
        assert [alone.draw() for _ in range(20)] == [asked.draw() for _ in range(20)]

    def test_fall_anew_with_each_order(self) -> None:
        injector = FaultInjector()
        injector.set({"seed": 5, "slow": 0.5})
        first = [injector.draw() for _ in range(20)]

        injector.set({"seed": 5, "slow": 0.5})

        assert [injector.draw() for _ in range(20)] == first

    def test_forget_that_the_door_was_closed(self) -> None:
        injector = FaultInjector()
        injector.set({"down_seconds": 1.0, "slow": 0.5})

        assert injector.active() == {"slow": 0.5}


class TestCheck:
    def test_takes_every_fault_that_is_documented(self) -> None:
        durations = {"down_seconds": 10.0, "slow_seconds": 5, "settle_seconds": 2.0, "latency_seconds": 0.1}
        durations |= {"memory_seconds": 20.0, "hidden_seconds": 30}
        document = (
            {"seed": 1}
            | durations
            | dict.fromkeys(
                [
                    *(
                        "answer_lost",
                        "error_after",
                        "error_before",
                        "truncated",
                        "slow",
                        "accepted",
                        "accepted_rejected",
                    ),
                    *("rejected", "rate_limited", "returned", "duplicate_callbacks", "callbacks_out_of_order"),
                    *("lost_callbacks", "malformed", "forbidden", "hidden"),
                    *("lookup_error", "lookup_stale", "lookup_amount"),
                ],
                0.5,
            )
        )

        assert check(document) == document
        assert {*PROBABILITIES, *LOOKUPS, *DURATIONS, "seed"} == document.keys()

    def test_says_what_there_is(self) -> None:
        with pytest.raises(
            Refusal, match=r"There is no fault 'answers_lost'. There are: seed, slow_seconds, .*answer_lost"
        ):
            check({"answers_lost": 1})


class TestBackoff:
    def test_doubles_up_to_its_end(self) -> None:
        delays = [Backoff().delay_seconds(attempts) for attempts in range(1, 9)]

        assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
        assert Backoff().delay_seconds(100_000) == 10.0
