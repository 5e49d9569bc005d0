"""What the bank tells by itself."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from devstack.processes import ports
from sandbox_bank.callbacks import Backoff
from tests.integration.sandbox_bank.caller import CALLBACK_KEY, Caller, eventually
from tests.integration.sandbox_bank.receiver import Receiver, quiet


class TestCallback:
    def test_is_told_and_signed(self, telling_bank: Caller, receiver: Receiver) -> None:
        made = telling_bank.put("one").document
        eventually(receiver.told, ["paid"])

        callback = receiver.received[0]
        assert callback.path == "/callbacks/?from=bank"
        assert callback.headers["content-type"] == "application/json"
        assert callback.transfer == made
        assert callback.event_id == f"evt_{made['id'].removeprefix('tr_')}_1"
        assert abs(time.time() - int(callback.headers["webhook-timestamp"])) < 5
        assert callback.is_signed()
        assert not callback.is_signed(b"another key")
        eventually(lambda: telling_bank.book()["callbacks"], {"waiting": 0, "delivered": 1, "lost": 0})
        assert quiet(0.2, receiver.told)

    def test_is_told_of_each_change(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.put("one", "bank_accepted")
        eventually(receiver.told, ["accepted"])

        assert receiver.received[0].transfer["final"] is False
        eventually(receiver.told, ["accepted", "paid"])
        assert len({callback.event_id for callback in receiver.received}) == 2
        assert all(callback.is_signed() for callback in receiver.received)

    def test_is_told_of_what_follows_a_payment(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.put("one", "bank_returned")

        eventually(receiver.told, ["paid", "returned"])
        assert receiver.told("code") == ["", "account_closed"]

    def test_is_told_of_a_later_rejection(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.put("one", "bank_accepted_rejected")

        eventually(receiver.told, ["accepted", "rejected"])
        assert telling_bank.book()["executions"] == 0

    def test_is_not_told_of_a_request_that_changed_nothing(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.put("one")
        eventually(receiver.told, ["paid"])

        telling_bank.put("one")
        telling_bank.put("one", amount="1.00")
        telling_bank.put("two", "bank_rejected_limit_exceeded")

        assert quiet(0.2, receiver.told)

    def test_is_told_to_nobody_where_nobody_wants_it(
        self, make_bank: Callable[..., Caller], receiver: Receiver
    ) -> None:
        without_secret = make_bank(callback_url=receiver.url)

        without_secret.put("one", "bank_accepted")

        eventually(lambda: without_secret.status("one"), "paid")
        assert without_secret.book()["callbacks"] == {"waiting": 0, "delivered": 0, "lost": 0}
        assert receiver.received == []


class TestDuplicates:
    def test_are_the_same_event_three_times(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.put("one", "bank_duplicate_callbacks")

        eventually(lambda: sorted(receiver.told()), ["accepted"] * 3 + ["paid"] * 3)
        assert len({callback.event_id for callback in receiver.received}) == 2
        assert len({callback.body for callback in receiver.received}) == 2
        assert quiet(0.2, receiver.told)


class TestOrder:
    def test_may_be_reversed(self, telling_bank: Caller, receiver: Receiver) -> None:
        telling_bank.put("one", "bank_callbacks_out_of_order")

        eventually(receiver.told, ["paid", "accepted"])
        assert receiver.received[1].transfer["final"] is False

    def test_stays_reversed_while_the_first_is_not_taken(self, make_bank: Callable[..., Caller]) -> None:
        with Receiver(answers=[500, 500]) as receiver:
            bank = make_bank(callback_url=receiver.url, callback_key=CALLBACK_KEY)

            bank.put("one", "bank_callbacks_out_of_order")

            eventually(receiver.told, ["paid", "paid", "paid", "accepted"])


class TestRepetition:
    def test_goes_on_until_it_is_taken(self, make_bank: Callable[..., Caller]) -> None:
        with Receiver(answers=[500, 404, 302, 399]) as receiver:
            bank = make_bank(callback_url=receiver.url, callback_key=CALLBACK_KEY)

            bank.put("one")

            eventually(receiver.told, ["paid"] * 5)
            assert len({callback.event_id for callback in receiver.received}) == 1
            assert all(callback.is_signed() for callback in receiver.received)
            eventually(lambda: bank.book()["callbacks"]["delivered"], 1)
            assert quiet(0.3, receiver.told)

    def test_waits_longer_each_time(self, make_bank: Callable[..., Caller]) -> None:
        with Receiver(answers=[500] * 4) as receiver:
            backoff = Backoff(first_seconds=0.05, max_seconds=0.2)
            bank = make_bank(callback_url=receiver.url, callback_key=CALLBACK_KEY, backoff=backoff)

            bank.put("one")

            eventually(receiver.told, ["paid"] * 5)
            at = [callback.at for callback in receiver.received]
            pauses = [later - earlier for earlier, later in itertools.pairwise(at)]
            for pause, least in zip(pauses, [0.05, 0.1, 0.2, 0.2], strict=True):
                assert pause >= least

    def test_survives_a_platform_that_is_not_there(self, make_bank: Callable[..., Caller]) -> None:
        port = ports.free()
        bank = make_bank(callback_url=f"http://127.0.0.1:{port}/callbacks/", callback_key=CALLBACK_KEY)
        bank.put("one")
        bank.put("two")
        time.sleep(0.2)
        assert bank.book()["callbacks"] == {"waiting": 2, "delivered": 0, "lost": 0}

        with Receiver(port=port) as receiver:
            eventually(lambda: sorted(receiver.told("reference")), ["one", "two"])
            eventually(lambda: bank.book()["callbacks"]["delivered"], 2)

    def test_of_one_holds_up_no_other(self, make_bank: Callable[..., Caller]) -> None:
        with Receiver(answers=[500] * 3) as receiver:
            backoff = Backoff(first_seconds=30.0, max_seconds=30.0)
            bank = make_bank(callback_url=receiver.url, callback_key=CALLBACK_KEY, backoff=backoff)
            for number in range(3):
                bank.put(f"refused-{number}")
            eventually(lambda: len(receiver.received), 3)

            for number in range(20):
                bank.put(f"taken-{number}")

            eventually(lambda: len(receiver.received), 23)
            eventually(lambda: bank.book()["callbacks"], {"waiting": 3, "delivered": 20, "lost": 0})
