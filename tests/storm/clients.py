"""The merchants' backends: they ask for payouts, and with the same key again until they are told that it is done."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from tests.storm.lines import Answer, Line, Request
from tests.storm.orders import Order, Then
from tests.storm.told import Acknowledged, Told

#: Before the same request is sent again.
_AGAIN_SECONDS = (0.05, 0.4)
#: What a client may still call off: so many of its payouts, the last ones.
_RECENT = 20
_PAYOUTS = "/api/payouts/"
#: 200 where the answer was purged: then the payout is shown as it is.
_CREATED: Final = frozenset({200, 201})
_REUSED: Final = "idempotency_key_reused"
_NOT_CANCELABLE: Final = "payout_not_cancelable"
_NOT_CHANGEABLE: Final = "payout_not_changeable"
_NOT_DELETABLE: Final = frozenset({"payout_not_deletable", _NOT_CANCELABLE})


class Client(threading.Thread):
    """One backend, with the keys of the merchants by merchant and mode. It orders until `stop`, and repeats until
    `give_up`.
    """

    def __init__(
        self,
        number: int,
        *,
        port: int,
        keys: Mapping[str, str],
        seed: int,
        wants: Iterator[Order],
        stop: threading.Event,
    ) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.told = Told()
        self.give_up = threading.Event()
        self._keys = keys
        self._stop_ordering = stop
        self._orders = wants
        self._chance = random.Random(f"client {seed} {number}")
        # The second is for the same request at the same time.
        self._lines = (Line(port), Line(port))
        self._known: list[tuple[Order, Acknowledged]] = []
        self._thens: dict[Then, Callable[[Order, Acknowledged], None]] = {
            Then.NOTHING: lambda order, payout: None,
            Then.REPEAT: lambda order, payout: self._repeat(*self._chance.choice(self._known)),
            Then.CANCEL: lambda order, payout: self._cancel(payout),
            Then.CANCEL_EARLIER: lambda order, payout: self._cancel(self._recent()[1]),
            Then.REUSE: self._reuse,
            Then.NOTE_EARLIER: lambda order, payout: self._note_on(*self._recent()),
            Then.CHANGE: self._change,
            Then.DELETE_EARLIER: lambda order, payout: self._take_off(*self._recent()),
        }

    def run(self) -> None:
        for order in self._orders:
            if self._stop_ordering.wait(order.pause_seconds):
                break
            for merchant in order.merchants:
                self._carry_out(order, merchant)
        for line in self._lines:
            line.close()

    def _carry_out(self, order: Order, merchant: str) -> None:
        at_once = self._send_twice_at_once(order, merchant) if order.twice_at_once else set()
        acknowledged = self._create(order, merchant)
        if acknowledged is None:
            return
        if at_once - {acknowledged.payout_id}:
            self._wrong(f"{acknowledged}: when it was asked for twice at once, {at_once} were answered")
        self.told.acknowledged.append(acknowledged)
        self._known.append((order, acknowledged))
        self._thens[order.then](order, acknowledged)

    def _recent(self) -> tuple[Order, Acknowledged]:
        return self._chance.choice(self._known[-_RECENT:])

    def _create(self, order: Order, merchant: str) -> Acknowledged | None:
        answer = self._until_final(merchant, order.mode, _creation(order))
        if answer is None:
            return None
        if answer.status not in _CREATED:
            self._wrong(f"{merchant} {order.key}: a new payout was answered {answer.status} {answer.code}")
            return None
        return Acknowledged(
            merchant=merchant,
            key=order.key,
            payout_id=str(answer.body.get("id")),
            amount=str(answer.body.get("amount")),
            currency=str(answer.body.get("currency")),
            account=order.body["recipient_details"]["account"],
            mode=order.mode,
        )

    def _repeat(self, order: Order, first: Acknowledged) -> None:
        self.told.repeated += 1
        answer = self._until_final(first.merchant, first.mode, _creation(order))
        if answer is not None and (answer.status not in _CREATED or answer.body.get("id") != first.payout_id):
            self._wrong(f"{first}: its repetition was answered {answer.status} {answer.code} {answer.body.get('id')}")

    def _reuse(self, order: Order, first: Acknowledged) -> None:
        request = replace(_creation(order), body={**order.body, "amount": "1"})
        answer = self._until_final(first.merchant, first.mode, request)
        if answer is not None and answer.code != _REUSED:
            self._wrong(f"{first}: another request with its key was answered {answer.status} {answer.code}")

    def _cancel(self, payout: Acknowledged) -> None:
        key = f"{payout.key}-cancel"
        request = Request("POST", f"{_PAYOUTS}{payout.payout_id}/cancel/", {}, key)
        answer = self._until_final(payout.merchant, payout.mode, request)
        if answer is None or answer.code == _NOT_CANCELABLE:
            return
        # An answer that was purged shows the payout as it is, and an operator may have done something with it since.
        if answer.status == 200 and answer.body.get("status") == "canceled":
            self.told.canceled[payout.payout_id] = (payout.merchant, key)
        else:
            self._wrong(f"{payout}: calling it off was answered {answer.status} {answer.code}")

    def _note_on(self, order: Order, payout: Acknowledged) -> None:
        del order
        answer = self._patch(payout, {"comment": f"noted {self._chance.random()}"})
        if answer is not None and answer.status != 200:
            self._wrong(f"{payout}: a note on it was answered {answer.status} {answer.code}")

    def _change(self, order: Order, payout: Acknowledged) -> None:
        """Double the amount, if the payout is not under way."""
        answer = self._patch(payout, {"amount": order.other_amount})
        if answer is None or answer.code == _NOT_CHANGEABLE:
            return
        if answer.status != 200:
            self._wrong(f"{payout}: a change of the amount was answered {answer.status} {answer.code}")
            return
        changed = replace(payout, amount=order.other_amount)
        self.told.changes(payout, changed)
        self._known[-1] = (order, changed)

    def _patch(self, payout: Acknowledged, body: dict[str, Any]) -> Answer | None:
        key = f"{payout.key}-change-{self._chance.getrandbits(32):08x}"
        request = Request("PATCH", f"{_PAYOUTS}{payout.payout_id}/", body, key)
        answer = self._until_final(payout.merchant, payout.mode, request)
        if answer is not None and answer.status == 200:
            self.told.changed[payout.merchant, key] = payout.payout_id
        return answer

    def _take_off(self, order: Order, payout: Acknowledged) -> None:
        # Without a key: when the first answer was lost, the payout is not found any more.
        answer = self._until_final(payout.merchant, payout.mode, Request("DELETE", f"{_PAYOUTS}{payout.payout_id}/"))
        if answer is None or answer.code in _NOT_DELETABLE:
            return
        if answer.status not in {204, 404}:
            self._wrong(f"{payout}: its deletion was answered {answer.status} {answer.code}")
            return
        self.told.deleted.add(payout.payout_id)
        self._known.remove((order, payout))

    def _until_final(self, merchant: str, mode: str, request: Request) -> Answer | None:
        """Send the same request until we know what became of it; None where we were told to give up."""
        while not self.give_up.is_set():
            self._lines[0].say(self._keys[f"{merchant}/{mode}"], request)
            answer = self._note(self._lines[0].hear())
            if answer.is_final:
                return answer
            time.sleep(self._chance.uniform(*_AGAIN_SECONDS))
        self.told.given_up.append(f"{merchant} {request}")
        return None

    def _send_twice_at_once(self, order: Order, merchant: str) -> set[str]:
        """Send the same request over two connections, and only then listen. Returns which payouts were answered."""
        for line in self._lines:
            line.say(self._keys[f"{merchant}/{order.mode}"], _creation(order))
        answers = [self._note(line.hear()) for line in self._lines]
        return {str(answer.body["id"]) for answer in answers if answer.status in _CREATED}

    def _note(self, answer: Answer) -> Answer:
        self.told.requests += 1
        if answer.is_ambiguous:
            self.told.ambiguous[answer.status] += 1
        return answer

    def _wrong(self, what: str) -> None:
        self.told.wrong.append(what)


def _creation(order: Order) -> Request:
    return Request("POST", _PAYOUTS, order.body, order.key)
