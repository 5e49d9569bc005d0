"""What the recipient's account asks for: the table of docs/sandbox-bank.md."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable

import pytest

from sandbox_bank.scenarios import Timing
from tests.integration.sandbox_bank.caller import BEARER, Caller, body_of, eventually

SETTLE_SECONDS = 0.3


def outcome(bank: Caller, reference: str) -> tuple[str, bool, str]:
    transfer = bank.get(reference).document
    return transfer["status"], transfer["final"], transfer["code"]


class TestRejected:
    def test_is_refused_with_its_code(self, bank: Caller) -> None:
        answer = bank.put("one", "bank_rejected_limit_exceeded")

        assert answer.status == 422
        assert answer.document == {
            "code": "limit_exceeded",
            "message": "The transfer is over the limit of the paying account.",
            "reference": "one",
        }
        assert bank.get("one").problem == (404, "transfer_not_found")
        assert bank.book()["refusals"] == [{"reference": "one", "code": "limit_exceeded", "requests": 1}]

    def test_may_have_any_code(self, bank: Caller) -> None:
        answer = bank.put("one", "bank_rejected_bad_weather")

        assert answer.problem == (422, "bad_weather")
        assert answer.document["message"] == "The bank refused the transfer."

    def test_stays_refused(self, bank: Caller) -> None:
        bank.put("one", "bank_rejected_limit_exceeded")

        # A refusal is relied upon, so nothing may come of the reference later, whatever is asked.
        assert bank.put("one", "bank_rejected_limit_exceeded").problem == (422, "limit_exceeded")
        again = bank.put("one", "DE89370400440532013000")
        assert (again.problem, again.document["reference"]) == ((422, "limit_exceeded"), "one")
        assert bank.book()["transfers"] == []
        assert bank.book()["executions"] == 0

    @pytest.mark.parametrize(
        "account", ["bank_rejected_", "bank_rejected_Limit", "bank_rejected_ a", "xbank_rejected_a"]
    )
    def test_needs_a_code(self, bank: Caller, account: str) -> None:
        assert bank.put("one", account).document["status"] == "paid"


class TestAccepted:
    def test_is_paid_later(self, bank: Caller) -> None:
        began = time.monotonic()
        accepted = bank.put("one", "bank_accepted").document
        before = bank.entry("one")

        assert (accepted["status"], accepted["final"]) == ("accepted", False)
        # No money has moved yet.
        assert before == ("accepted", 0, 1)
        eventually(lambda: outcome(bank, "one"), ("paid", True, ""))
        assert time.monotonic() - began >= SETTLE_SECONDS
        assert bank.entry("one") == ("paid", 1, 1)
        assert bank.get("one").document["id"] == accepted["id"]

    def test_is_shown_as_it_is_to_who_sends_it_again(self, bank: Caller) -> None:
        bank.put("one", "bank_accepted")

        assert bank.put("one", "bank_accepted").document["status"] == "accepted"
        eventually(lambda: bank.put("one", "bank_accepted").document["status"], "paid")
        assert bank.book()["executions"] == 1

    def test_may_be_rejected_later(self, bank: Caller) -> None:
        accepted = bank.put("one", "bank_accepted_rejected")

        assert (accepted.status, accepted.document["status"], accepted.document["final"]) == (201, "accepted", False)
        eventually(lambda: outcome(bank, "one"), ("rejected", True, "account_closed"))
        assert bank.get("one").document["message"] == "The recipient's account is closed."
        assert bank.entry("one") == ("rejected", 0, 1)

    @pytest.mark.parametrize("account", ["bank_duplicate_callbacks", "bank_callbacks_out_of_order"])
    def test_is_paid_sooner_where_callbacks_are_the_point(self, bank: Caller, account: str) -> None:
        began = time.monotonic()
        assert bank.put("one", account).document["status"] == "accepted"

        eventually(lambda: outcome(bank, "one"), ("paid", True, ""))
        assert time.monotonic() - began >= SETTLE_SECONDS / 2


class TestReturned:
    def test_comes_back_after_it_was_paid(self, bank: Caller) -> None:
        paid = bank.put("one", "bank_returned").document

        assert (paid["status"], paid["final"]) == ("paid", False)
        eventually(lambda: outcome(bank, "one"), ("returned", True, "account_closed"))
        # The money moved once; that it came back is no execution.
        assert bank.entry("one") == ("returned", 1, 1)


class TestMisbehaviour:
    """At the first request of a reference only: the second is answered well."""

    def test_loses_the_answer(self, bank: Caller) -> None:
        with pytest.raises(http.client.RemoteDisconnected):
            bank.put("one", "bank_answer_lost")

        assert bank.entry("one") == ("paid", 1, 1)
        assert bank.put("one", "bank_answer_lost").status == 200
        assert bank.entry("one") == ("paid", 1, 2)

    def test_answers_an_error(self, bank: Caller) -> None:
        assert bank.put("one", "bank_error").problem == (500, "internal_error")

        assert bank.entry("one") == ("paid", 1, 1)
        assert bank.put("one", "bank_error").status == 200
        assert bank.entry("one") == ("paid", 1, 2)

    def test_answers_late(self, bank: Caller) -> None:
        began = time.monotonic()
        answer = bank.put("one", "bank_slow")

        assert (answer.status, answer.document["status"]) == (201, "paid")
        assert time.monotonic() - began >= 0.3
        assert bank.put("one", "bank_slow").status == 200
        assert bank.entry("one") == ("paid", 1, 2)

    def test_executes_before_it_answers_late(self, make_bank: Callable[..., Caller]) -> None:
        bank = make_bank(timing=Timing(slow=30.0))
        connection = http.client.HTTPConnection("127.0.0.1", bank.port, timeout=5)
        connection.request("PUT", "/v1/transfers/one", body_of("bank_slow"), BEARER)

        eventually(lambda: bank.get("one").document.get("status"), "paid")
        connection.close()

    def test_answers_by_half(self, bank: Caller) -> None:
        with pytest.raises(http.client.IncompleteRead) as cut:
            bank.put("one", "bank_truncated")

        whole = bank.call("GET", "/v1/transfers/one", headers=BEARER).body
        assert cut.value.partial == whole[: len(whole) // 2]
        assert bank.entry("one") == ("paid", 1, 1)
        assert bank.put("one", "bank_truncated").body == whole

    def test_does_nothing_when_it_is_busy(self, bank: Caller) -> None:
        answer = bank.put("one", "bank_unavailable")

        assert answer.problem == (429, "rate_limited")
        assert answer.headers["Retry-After"] == "1"
        assert bank.get("one").problem == (404, "transfer_not_found")
        assert bank.book()["executions"] == 0
        assert bank.put("one", "bank_unavailable").status == 201
        assert bank.entry("one") == ("paid", 1, 2)
