from __future__ import annotations

import pytest

from sandbox_bank.faults import Draw
from sandbox_bank.responses import ResponseFault
from sandbox_bank.scenarios import Delivery, Refused, Scenario, Step, Timing, decide

TIMING = Timing(settle=2.0, returned=4.0, slow=5.0)
PLAIN = "DE89370400440532013000"

ACCEPTED = Step(0.0, "accepted", is_final=False)
PAID = Step(0.0, "paid", is_final=True)


def scenario(account: str = PLAIN, *triggered: str, is_first: bool = True, **durations: float) -> Scenario:
    return decide(account, is_first=is_first, draw=Draw(frozenset(triggered), durations), timing=TIMING)


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
        assert scenario(account).outcome == outcome

    @pytest.mark.parametrize(
        ("account", "fault"),
        [
            (PLAIN, ResponseFault.NONE),
            ("bank_accepted", ResponseFault.NONE),
            ("bank_unavailable", ResponseFault.RATE_LIMITED),
            ("bank_answer_lost", ResponseFault.ANSWER_LOST),
            ("bank_error", ResponseFault.ERROR_AFTER),
            ("bank_truncated", ResponseFault.TRUNCATED),
            ("bank_slow", ResponseFault.SLOW),
        ],
    )
    def test_decide_how_the_first_request_is_answered(self, account: str, fault: ResponseFault) -> None:
        assert scenario(account).fault == fault
        assert scenario(account, is_first=False).fault == ResponseFault.NONE

    @pytest.mark.parametrize(
        ("account", "delivery"),
        [
            (PLAIN, Delivery()),
            ("bank_duplicate_callbacks", Delivery(copies=3)),
            ("bank_callbacks_out_of_order", Delivery(reversed=True)),
        ],
    )
    def test_decide_how_it_is_told(self, account: str, delivery: Delivery) -> None:
        assert scenario(account).delivery == delivery


class TestFaults:
    @pytest.mark.parametrize(
        ("triggered", "outcome"),
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
    def test_decide_what_becomes_of_the_transfer(self, triggered: list[str], outcome: object) -> None:
        assert scenario(PLAIN, *triggered).outcome == outcome

    def test_never_change_what_the_account_asks_for(self) -> None:
        assert scenario("bank_accepted", "rejected").outcome == scenario("bank_accepted").outcome
        assert scenario("bank_slow", "rate_limited").fault == ResponseFault.SLOW
        # The account asks for it once only.
        assert scenario("bank_slow", "rate_limited", is_first=False).fault == ResponseFault.RATE_LIMITED

    def test_decide_what_the_account_leaves_open(self) -> None:
        assert scenario("bank_accepted", "answer_lost").fault == ResponseFault.ANSWER_LOST
        assert scenario("bank_answer_lost", "accepted").outcome == scenario(PLAIN, "accepted").outcome

    def test_are_one_at_a_time_in_an_answer(self) -> None:
        everything = ["slow", "truncated", "error_after", "answer_lost", "error_before", "rate_limited"]

        faults = [scenario(PLAIN, *everything[:count]).fault.value for count in range(1, 7)]

        # What does nothing wins, then what tells least.
        assert faults == everything

    def test_may_take_another_time(self) -> None:
        assert scenario(PLAIN, "accepted", settle_seconds=0.5).outcome == (ACCEPTED, Step(0.5, "paid", is_final=True))
        assert scenario(PLAIN, "slow", slow_seconds=0.1).slow_seconds == 0.1
        assert scenario(PLAIN, "slow").slow_seconds == 5.0

    def test_may_take_no_time(self) -> None:
        assert scenario(PLAIN, "accepted", settle_seconds=0.0).outcome == (ACCEPTED, PAID)

    def test_decide_how_it_is_told(self) -> None:
        delivery = scenario(PLAIN, "duplicate_callbacks", "callbacks_out_of_order", "lost_callbacks").delivery

        assert delivery == Delivery(copies=3, reversed=True, lost=True)
