from __future__ import annotations

import pytest

from sandbox_bank.faults import Draw
from sandbox_bank.responses import Manner
from sandbox_bank.scenarios import Conduct, Refused, Step, Telling, Timing, decide

TIMING = Timing(settle=2.0, returned=4.0, slow=5.0)
PLAIN = "DE89370400440532013000"

ACCEPTED = Step(0.0, "accepted", is_final=False)
PAID = Step(0.0, "paid", is_final=True)


def conduct(account: str = PLAIN, *struck: str, is_first: bool = True, **durations: float) -> Conduct:
    return decide(account, is_first=is_first, draw=Draw(frozenset(struck), durations), timing=TIMING)


class TestAccounts:
    @pytest.mark.parametrize(
        ("account", "outcome"),
        [
            (PLAIN, (PAID,)),
            # Names that only look like behaviours.
            ("bank_", (PAID,)),
            ("bank_accepted_", (PAID,)),
            ("sandbox_accepted", (PAID,)),
            ("bank_rejected_account_closed", Refused("account_closed")),
            ("bank_accepted", (ACCEPTED, Step(2.0, "paid", is_final=True))),
            ("bank_accepted_rejected", (ACCEPTED, Step(2.0, "rejected", is_final=True, code="account_closed"))),
            ("bank_duplicate_callbacks", (ACCEPTED, Step(1.0, "paid", is_final=True))),
            ("bank_callbacks_out_of_order", (ACCEPTED, Step(1.0, "paid", is_final=True))),
            (
                "bank_returned",
                (Step(0.0, "paid", is_final=False), Step(4.0, "returned", is_final=True, code="account_closed")),
            ),
            ("bank_slow", (PAID,)),
        ],
    )
    def test_decide_what_becomes_of_the_transfer(self, account: str, outcome: object) -> None:
        assert conduct(account).outcome == outcome

    @pytest.mark.parametrize(
        ("account", "manner"),
        [
            (PLAIN, Manner.WELL),
            ("bank_accepted", Manner.WELL),
            ("bank_unavailable", Manner.RATE_LIMITED),
            ("bank_answer_lost", Manner.ANSWER_LOST),
            ("bank_error", Manner.ERROR_AFTER),
            ("bank_truncated", Manner.TRUNCATED),
            ("bank_slow", Manner.SLOW),
        ],
    )
    def test_decide_how_the_first_request_is_answered(self, account: str, manner: Manner) -> None:
        assert conduct(account).manner == manner
        assert conduct(account, is_first=False).manner == Manner.WELL

    @pytest.mark.parametrize(
        ("account", "telling"),
        [
            (PLAIN, Telling()),
            ("bank_duplicate_callbacks", Telling(copies=3)),
            ("bank_callbacks_out_of_order", Telling(reversed=True)),
        ],
    )
    def test_decide_how_it_is_told(self, account: str, telling: Telling) -> None:
        assert conduct(account).telling == telling


class TestFaults:
    @pytest.mark.parametrize(
        ("struck", "outcome"),
        [
            (["rejected", "accepted"], Refused("account_closed")),
            (["accepted"], (ACCEPTED, Step(2.0, "paid", is_final=True))),
            (
                ["accepted", "accepted_rejected", "returned"],
                (ACCEPTED, Step(2.0, "rejected", is_final=True, code="account_closed")),
            ),
            (
                ["returned"],
                (Step(0.0, "paid", is_final=False), Step(4.0, "returned", is_final=True, code="account_closed")),
            ),
            (
                ["accepted", "returned"],
                (
                    ACCEPTED,
                    Step(2.0, "paid", is_final=False),
                    Step(6.0, "returned", is_final=True, code="account_closed"),
                ),
            ),
        ],
        ids=lambda value: "+".join(value) if isinstance(value, list) else "",
    )
    def test_decide_what_becomes_of_the_transfer(self, struck: list[str], outcome: object) -> None:
        assert conduct(PLAIN, *struck).outcome == outcome

    def test_never_change_what_the_account_asks_for(self) -> None:
        assert conduct("bank_accepted", "rejected").outcome == conduct("bank_accepted").outcome
        assert conduct("bank_slow", "rate_limited").manner == Manner.SLOW
        # The account asks for it once only.
        assert conduct("bank_slow", "rate_limited", is_first=False).manner == Manner.RATE_LIMITED

    def test_decide_what_the_account_leaves_open(self) -> None:
        assert conduct("bank_accepted", "answer_lost").manner == Manner.ANSWER_LOST
        assert conduct("bank_answer_lost", "accepted").outcome == conduct(PLAIN, "accepted").outcome

    def test_are_one_at_a_time_in_an_answer(self) -> None:
        everything = ["slow", "truncated", "error_after", "answer_lost", "error_before", "rate_limited"]

        manners = [conduct(PLAIN, *everything[:count]).manner.value for count in range(1, 7)]

        # What does nothing wins, then what tells least.
        assert manners == everything

    def test_may_take_another_time(self) -> None:
        assert conduct(PLAIN, "accepted", settle_seconds=0.5).outcome == (ACCEPTED, Step(0.5, "paid", is_final=True))
        assert conduct(PLAIN, "slow", slow_seconds=0.1).slow_seconds == 0.1
        assert conduct(PLAIN, "slow").slow_seconds == 5.0

    def test_may_take_no_time(self) -> None:
        assert conduct(PLAIN, "accepted", settle_seconds=0.0).outcome == (ACCEPTED, PAID)

    def test_decide_how_it_is_told(self) -> None:
        telling = conduct(PLAIN, "duplicate_callbacks", "callbacks_out_of_order", "lost_callbacks").telling

        assert telling == Telling(copies=3, reversed=True, lost=True)
