"""What POST /control/faults puts in force."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tests.integration.sandbox_bank.caller import BEARER, Caller, body_of, eventually
from tests.integration.sandbox_bank.receiver import Receiver, quiet


class TestAnswers:
    def test_are_lost(self, bank: Caller) -> None:
        bank.set_faults(answer_lost=1)

        for _ in range(2):
            with pytest.raises(http.client.RemoteDisconnected):
                bank.put("one")
        # Who asks is answered well.
        assert bank.get("one").document["status"] == "paid"
        assert bank.entry("one") == ("paid", 1, 2)

    def test_are_errors_after_it_was_done(self, bank: Caller) -> None:
        bank.set_faults(error_after=1)

        assert bank.put("one").problem == (500, "internal_error")
        assert bank.put("one").problem == (500, "internal_error")
        assert bank.entry("one") == ("paid", 1, 2)

    def test_are_errors_before_anything_was_done(self, bank: Caller) -> None:
        bank.set_faults(error_before=1)

        assert bank.put("one").problem == (500, "internal_error")
        assert bank.get("one").problem == (404, "transfer_not_found")
        assert bank.book()["executions"] == 0

    def test_are_cut(self, bank: Caller) -> None:
        bank.set_faults(truncated=1)

        with pytest.raises(http.client.IncompleteRead):
            bank.put("one")
        assert bank.entry("one") == ("paid", 1, 1)

    def test_are_slow(self, bank: Caller) -> None:
        bank.set_faults(slow=1, slow_seconds=0.2)
        began = time.monotonic()

        assert bank.put("one").status == 201
        assert time.monotonic() - began >= 0.2

    def test_say_that_there_are_too_many(self, bank: Caller) -> None:
        bank.set_faults(rate_limited=1)

        assert bank.put("one").problem == (429, "rate_limited")
        assert bank.get("one").problem == (404, "transfer_not_found")

    def test_hide_what_an_earlier_request_did(self, bank: Caller) -> None:
        bank.put("one")
        bank.set_faults(rate_limited=1)

        assert bank.put("one").problem == (429, "rate_limited")
        assert bank.entry("one") == ("paid", 1, 2)


class TestOutcomes:
    def test_are_refusals_that_last(self, bank: Caller) -> None:
        bank.set_faults(rejected=1)
        assert bank.put("one").problem == (422, "account_closed")

        bank.set_faults()

        assert bank.put("one").problem == (422, "account_closed")
        assert bank.get("one").problem == (404, "transfer_not_found")
        assert bank.book()["executions"] == 0

    def test_never_refuse_what_is_there(self, bank: Caller) -> None:
        made = bank.put("one").document
        bank.set_faults(rejected=1)

        answer = bank.put("one")

        assert (answer.status, answer.document) == (200, made)

    @pytest.mark.parametrize(
        ("faults", "statuses", "executions"),
        [
            ({"accepted": 1}, ["accepted", "paid"], 1),
            ({"accepted_rejected": 1}, ["accepted", "rejected"], 0),
            ({"returned": 1}, ["paid", "returned"], 1),
            ({"accepted": 1, "returned": 1}, ["accepted", "paid", "returned"], 1),
        ],
        ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
    )
    def test_come_by_time(
        self, telling_bank: Caller, receiver: Receiver, faults: dict[str, Any], statuses: list[str], executions: int
    ) -> None:
        telling_bank.set_faults(**faults, settle_seconds=0.1)

        assert telling_bank.put("one").document["status"] == statuses[0]
        eventually(receiver.told, statuses)
        assert telling_bank.entry("one") == (statuses[-1], executions, 1)

    def test_are_the_accounts_own_where_it_has_one(self, bank: Caller) -> None:
        bank.set_faults(rejected=1, accepted=1)

        assert bank.put("one", "bank_returned").document["status"] == "paid"
        assert bank.put("two", "bank_rejected_limit_exceeded").problem == (422, "limit_exceeded")

    def test_use_the_banks_own_time_unless_told(self, bank: Caller) -> None:
        bank.set_faults(accepted=1)
        began = time.monotonic()

        bank.put("one")

        eventually(lambda: bank.status("one"), "paid")
        assert time.monotonic() - began >= 0.3


class TestCallbacks:
    def test_are_told_three_times(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.set_faults(duplicate_callbacks=1)

        telling_bank.put("one")

        eventually(receiver.told, ["paid"] * 3)
        assert len({callback.event_id for callback in receiver.received}) == 1

    def test_are_told_in_reverse(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.set_faults(callbacks_out_of_order=1, accepted=1, returned=1, settle_seconds=0.1)

        telling_bank.put("one")

        eventually(receiver.told, ["returned", "paid", "accepted"])

    def test_are_lost(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.set_faults(lost_callbacks=1, accepted=1, settle_seconds=0.1)

        telling_bank.put("one")

        eventually(lambda: telling_bank.status("one"), "paid")
        assert quiet(0.2, receiver.told)
        assert receiver.told() == []
        assert telling_bank.book()["callbacks"] == {"waiting": 0, "delivered": 0, "lost": 2}


class TestChance:
    FAULTS: ClassVar[dict[str, Any]] = {
        "seed": 7,
        "answer_lost": 0.3,
        "error_before": 0.3,
        "rejected": 0.3,
        "accepted": 0.5,
    }

    def test_is_the_same_for_the_same_seed(self, make_bank: Callable[..., Caller]) -> None:
        runs = [self._run(make_bank(), **self.FAULTS) for _ in range(2)]

        assert runs[0] == runs[1]
        assert set(runs[0]) == {"lost", "500", "422", "201 accepted", "201 paid"}

    def test_is_another_for_another_seed(self, make_bank: Callable[..., Caller]) -> None:
        assert self._run(make_bank(), **self.FAULTS) != self._run(make_bank(), **{**self.FAULTS, "seed": 8})

    def test_begins_anew_with_each_order(self, bank: Caller) -> None:
        first = self._run(bank, **self.FAULTS)

        assert self._run(bank, prefix="again", **self.FAULTS) == first

    def test_is_moved_by_no_request_that_it_does_not_concern(self, make_bank: Callable[..., Caller]) -> None:
        disturbed = make_bank()

        def disturb() -> None:
            disturbed.get("one")
            disturbed.call("PUT", "/v1/transfers/one", b"{", BEARER)
            disturbed.call("PUT", "/v1/transfers/one", body_of(), {})

        assert self._run(disturbed, before_each=disturb, **self.FAULTS) == self._run(make_bank(), **self.FAULTS)

    def _run(
        self, bank: Caller, *, prefix: str = "one", before_each: Callable[[], None] = lambda: None, **faults: Any
    ) -> list[str]:
        bank.set_faults(**faults)
        answers = []
        for number in range(40):
            before_each()
            try:
                answer = bank.put(f"{prefix}-{number}")
                answers.append(" ".join(filter(None, (str(answer.status), answer.document.get("status")))))
            except http.client.RemoteDisconnected:
                answers.append("lost")
        return answers


class TestDown:
    def test_closes_the_door_and_opens_it_again(self, bank: Caller) -> None:
        bank.put("one")
        began = time.monotonic()

        assert bank.set_faults(down_seconds=0.5) == {"down_seconds": 0.5}
        with pytest.raises(ConnectionRefusedError):
            bank.get("one")
        eventually(lambda: _is_refused(bank), False)
        assert time.monotonic() - began >= 0.5
        assert bank.entry("one") == ("paid", 1, 1)
        assert bank.call("GET", "/control/faults").document == {}

    def test_breaks_the_connections_that_there_are(self, bank: Caller) -> None:
        idle = http.client.HTTPConnection("127.0.0.1", bank.port, timeout=5)
        idle.request("GET", "/livez")
        idle.getresponse().read()
        busy = http.client.HTTPConnection("127.0.0.1", bank.port, timeout=5)
        busy.request("PUT", "/v1/transfers/one", body_of("bank_slow"), BEARER)
        eventually(lambda: bank.get("one").status, 200)

        bank.set_faults(down_seconds=0.2)

        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            busy.getresponse()
        assert idle.sock is not None
        assert idle.sock.recv(1) == b""
        idle.close()
        busy.close()
        eventually(lambda: _is_refused(bank), False)
        assert bank.entry("one") == ("paid", 1, 1)

    def test_leaves_the_other_faults_in_force(self, bank: Caller) -> None:
        bank.set_faults(down_seconds=0.1, error_before=1)
        eventually(lambda: _is_refused(bank), False)

        assert bank.call("GET", "/control/faults").document == {"error_before": 1}
        assert bank.put("one").problem == (500, "internal_error")

    def test_happens_again_and_again(self, bank: Caller) -> None:
        for _ in range(3):
            bank.set_faults(down_seconds=0.05)
            assert _is_refused(bank)
            eventually(lambda: _is_refused(bank), False)


def _is_refused(bank: Caller) -> bool:
    try:
        return bank.call("GET", "/livez").status != 200
    except ConnectionRefusedError:
        return True
