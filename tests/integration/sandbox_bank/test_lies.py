"""What POST /control/faults makes the bank say of transfers that it has, and what it writes down for an audit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.sandbox_bank.caller import CALLBACK_KEY, Caller, eventually
from tests.integration.sandbox_bank.receiver import Receiver


def audit(bank: Caller) -> Any:
    return bank.call("GET", "/control/audit").document


class TestLookups:
    @pytest.mark.parametrize(
        ("lie", "said"),
        [("lookup_error", (500, "internal_error")), ("lookup_stale", (404, "transfer_not_found"))],
    )
    def test_deny_what_is_there(self, bank: Caller, lie: str, said: tuple[int, str]) -> None:
        bank.put("one")
        bank.set_faults(**{lie: 1})

        assert bank.get("one").problem == said
        assert bank.get("one").problem == said
        assert audit(bank)["lies"] == [{"reference": "one", "kind": lie, "count": 2}]

    def test_name_another_amount(self, bank: Caller) -> None:
        made = bank.put("one").document
        bank.set_faults(lookup_amount=1)

        assert bank.get("one").document == {**made, "amount": "21.00"}
        assert audit(bank)["lies"] == [{"reference": "one", "kind": "lookup_amount", "count": 1}]

    def test_are_true_where_nothing_is_there(self, bank: Caller) -> None:
        bank.set_faults(lookup_error=1, lookup_amount=1)

        assert bank.get("one").problem == (404, "transfer_not_found")
        assert audit(bank)["lies"] == []


class TestRefusals:
    @pytest.mark.parametrize(
        ("fault", "said"), [("malformed", (400, "malformed_request")), ("forbidden", (403, "forbidden"))]
    )
    def test_do_nothing(self, bank: Caller, fault: str, said: tuple[int, str]) -> None:
        bank.set_faults(**{fault: 1})

        assert bank.put("one").problem == said
        assert bank.get("one").problem == (404, "transfer_not_found")
        assert (bank.book()["executions"], bank.book()["refusals"]) == (0, [])


class TestHidden:
    def test_is_denied_until_its_time_is_over(self, telling_bank: Caller) -> None:
        telling_bank.set_faults(hidden=1, hidden_seconds=60)

        assert telling_bank.put("one").problem == (400, "malformed_request")
        assert telling_bank.put("one").problem == (400, "malformed_request")
        assert telling_bank.get("one").problem == (404, "transfer_not_found")
        assert telling_bank.entry("one") == ("paid", 1, 2)
        assert telling_bank.book()["callbacks"] == {"waiting": 0, "delivered": 0, "lost": 1}

        telling_bank.set_faults()

        assert telling_bank.status("one") == "paid"
        assert audit(telling_bank)["lies"] == [{"reference": "one", "kind": "hidden", "count": 1}]


class TestMemory:
    def test_pays_again_when_it_is_over(self, bank: Caller) -> None:
        bank.put("one")
        bank.set_faults(memory_seconds=60)
        bank.put("one")
        assert bank.entry("one") == ("paid", 1, 2)

        bank.set_faults(memory_seconds=0)

        assert bank.put("one").status == 200
        assert bank.entry("one") == ("paid", 2, 3)
        assert bank.book()["executions"] == 2


class TestAudit:
    def test_has_the_most_calls_at_once(self, bank: Caller) -> None:
        bank.set_faults(latency_seconds=0.3)

        with ThreadPoolExecutor(5) as pool:
            assert {answer.status for answer in pool.map(bank.put, ["a", "b", "c", "d", "e"])} == {201}
        bank.put("f")

        assert max(second["calls"] for second in audit(bank)["calls_at_once"]) == 5

    def test_has_the_callbacks_with_what_became_of_them(
        self, make_bank: Callable[..., Caller], receiver: Receiver
    ) -> None:
        bank = make_bank(callback_url=receiver.url, callback_key=CALLBACK_KEY)
        bank.set_faults(lost_callbacks=1)
        bank.put("lost")
        bank.set_faults()
        bank.put("told")

        eventually(
            lambda: {(event["reference"], event["status"], event["taken"]) for event in audit(bank)["callbacks"]},
            {("lost", "paid", False), ("told", "paid", True)},
        )
        assert receiver.received[0].event_id in {event["id"] for event in audit(bank)["callbacks"]}
