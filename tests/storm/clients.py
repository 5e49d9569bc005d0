"""The merchants' backends: they ask for payouts, and with the same key again until they are told that it is done.

What they were told is remembered, for the verdict: an acknowledged payout is one that must exist, once.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from devstack.processes import ports
from tests.storm import orders
from tests.storm.orders import Order, Then

#: Longer than nearly every answer takes. After it nobody knows, which is the point.
_ANSWER_SECONDS = 4.0
#: Before the same request is sent again.
_AGAIN_SECONDS = (0.05, 0.4)
#: What a client may still call off: so many of its payouts, the last ones.
_RECENT = 20
_PAYOUTS = "/api/payouts/"
#: Nothing was done, and the same request may succeed later: a key under way, a rate limit.
_LATER = frozenset({"idempotency_key_in_progress", "too_many_requests"})
_REUSED: Final = "idempotency_key_reused"
_NOT_CANCELABLE: Final = "payout_not_cancelable"


@dataclass(frozen=True)
class Answer:
    """What came back: the status and the body, or 0 and nothing where nobody answered."""

    status: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ambiguous(self) -> bool:
        """Whether nobody knows if the request was carried out."""
        return self.status == 0 or self.status >= 500

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))

    @property
    def is_final(self) -> bool:
        return not self.is_ambiguous and self.code not in _LATER


@dataclass(frozen=True)
class Acknowledged:
    """A payout that the platform said it has."""

    merchant: str
    key: str
    payout_id: str
    amount: str
    currency: str
    account: str


@dataclass
class Told:
    """What one client did and was told."""

    requests: int = 0
    #: By status: 0 is no answer.
    ambiguous: Counter[int] = field(default_factory=Counter)
    acknowledged: list[Acknowledged] = field(default_factory=list)
    #: By payout: the merchant and the key with which it was called off.
    canceled: dict[str, tuple[str, str]] = field(default_factory=dict)
    repeated: int = 0
    #: What should never have been said.
    wrong: list[str] = field(default_factory=list)
    #: Requests that had no final answer when the client was told to give up.
    given_up: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """One backend, with the keys of both merchants. It orders until `stop`, and repeats until `give_up`."""

    def __init__(
        self, number: int, *, port: int, keys: Mapping[str, str], seed: int, pause_seconds: float, stop: threading.Event
    ) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.told = Told()
        self.give_up = threading.Event()
        self._keys = keys
        self._stop_ordering = stop
        self._orders = orders.of_client(seed=seed, client=number, pause_seconds=pause_seconds)
        self._chance = random.Random(f"client {seed} {number}")
        # The second is for the same request at the same time.
        self._lines = (_Line(port), _Line(port))
        self._known: list[tuple[Order, Acknowledged]] = []

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
        if order.then is Then.REPEAT:
            self._repeat(*self._chance.choice(self._known))
        elif order.then is Then.CANCEL:
            self._cancel(acknowledged)
        elif order.then is Then.CANCEL_EARLIER:
            self._cancel(self._chance.choice(self._known[-_RECENT:])[1])
        elif order.then is Then.REUSE:
            self._reuse(order, acknowledged)

    def _create(self, order: Order, merchant: str) -> Acknowledged | None:
        answer = self._until_final(merchant, _PAYOUTS, order.body, key=order.key)
        if answer is None:
            return None
        if answer.status != 201:
            self._wrong(f"{merchant} {order.key}: a new payout was answered {answer.status} {answer.code}")
            return None
        return self._acknowledged(order, merchant, answer)

    def _acknowledged(self, order: Order, merchant: str, answer: Answer) -> Acknowledged:
        return Acknowledged(
            merchant=merchant,
            key=order.key,
            payout_id=str(answer.body.get("id")),
            amount=str(answer.body.get("amount")),
            currency=str(answer.body.get("currency")),
            account=order.body["recipient_details"]["account"],
        )

    def _repeat(self, order: Order, first: Acknowledged) -> None:
        self.told.repeated += 1
        answer = self._until_final(first.merchant, _PAYOUTS, order.body, key=order.key)
        if answer is not None and (answer.status, answer.body.get("id")) != (201, first.payout_id):
            self._wrong(f"{first}: its repetition was answered {answer.status} {answer.code} {answer.body.get('id')}")

    def _reuse(self, order: Order, first: Acknowledged) -> None:
        answer = self._until_final(first.merchant, _PAYOUTS, {**order.body, "amount": "1"}, key=order.key)
        if answer is not None and answer.code != _REUSED:
            self._wrong(f"{first}: another request with its key was answered {answer.status} {answer.code}")

    def _cancel(self, payout: Acknowledged) -> None:
        key = f"{payout.key}-cancel"
        answer = self._until_final(payout.merchant, f"{_PAYOUTS}{payout.payout_id}/cancel/", {}, key=key)
        if answer is None or answer.code == _NOT_CANCELABLE:
            return
        if (answer.status, answer.body.get("status")) == (200, "canceled"):
            self.told.canceled[payout.payout_id] = (payout.merchant, key)
        else:
            self._wrong(f"{payout}: calling it off was answered {answer.status} {answer.code}")

    def _until_final(self, merchant: str, path: str, body: Any, *, key: str) -> Answer | None:
        """Send the same request until we know what became of it; None where we were told to give up."""
        while not self.give_up.is_set():
            answer = self._send(merchant, path, body, key=key)
            if answer.is_final:
                return answer
            time.sleep(self._chance.uniform(*_AGAIN_SECONDS))
        self.told.given_up.append(f"{merchant} {path} {key}")
        return None

    def _send(self, merchant: str, path: str, body: Any, *, key: str) -> Answer:
        self._lines[0].say(self._keys[merchant], path, body, key=key)
        return self._note(self._lines[0].hear())

    def _send_twice_at_once(self, order: Order, merchant: str) -> set[str]:
        """Send the same request over two connections, and only then listen. Returns which payouts were answered."""
        for line in self._lines:
            line.say(self._keys[merchant], _PAYOUTS, order.body, key=order.key)
        answers = [self._note(line.hear()) for line in self._lines]
        return {str(answer.body["id"]) for answer in answers if answer.status == 201}

    def _note(self, answer: Answer) -> Answer:
        self.told.requests += 1
        if answer.is_ambiguous:
            self.told.ambiguous[answer.status] += 1
        return answer

    def _wrong(self, what: str) -> None:
        self.told.wrong.append(what)


class _Line:
    """One connection to the web server, opened anew when it broke."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=_ANSWER_SECONDS)
        self._is_waiting = False

    def say(self, api_key: str, path: str, body: Any, *, key: str) -> None:
        headers = {
            "Authorization": f"Api-Key {api_key}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        self._is_waiting = True
        with self._breaking():
            self._connection.request("POST", path, json.dumps(body), headers)

    def hear(self) -> Answer:
        if self._is_waiting:
            with self._breaking():
                response = self._connection.getresponse()
                return Answer(response.status, _document(response.read()))
        return Answer()

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def _breaking(self) -> Iterator[None]:
        """Whatever goes wrong on the way is no answer, and an end of this connection."""
        try:
            yield
        except (OSError, http.client.HTTPException, ValueError):
            self._is_waiting = False
            self._connection.close()


def _document(body: bytes) -> dict[str, Any]:
    """Read a JSON object; a server that is about to end may answer with words of its own."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
