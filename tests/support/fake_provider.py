"""A provider that answers as a test says and writes down what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from payouts.engine import processing
from payouts.models import Payout
from payouts.providers import base
from tests.support import database

Answer = base.Report | BaseException | Callable[[base.Instruction], base.Report]

PAID = base.Report(base.ReportKind.PAID, provider_reference="fake-1")
ACCEPTED = base.Report(base.ReportKind.ACCEPTED, provider_reference="fake-1")
RETURNED = base.Report(base.ReportKind.RETURNED, code="account_closed", message="The account is closed.")
NOT_FOUND = base.Report(base.ReportKind.NOT_FOUND)
REJECTED = base.Rejected("invalid_account", "The account number is malformed.")
UNAVAILABLE = base.Unavailable("connection_refused", "The provider cannot be reached.")
UNKNOWN = base.OutcomeUnknown("timeout", "No answer in time.")


def raising(error: Exception) -> Callable[[base.Instruction], base.Report]:
    """Return a call of a provider that ends in this."""

    def call(instruction: base.Instruction) -> base.Report:
        raise error

    return call


#: What the fake provider signs its callbacks with.
SIGNATURE = "right"


class WorkerKilled(BaseException):
    """Ends the worker in the middle of a call, as SIGKILL does: no code of ours runs after it."""


@dataclass(frozen=True)
class Call:
    kind: str
    instruction: base.Instruction
    in_transaction: bool


@dataclass
class FakeProvider:
    """Gives the answers in turn, and the last one for ever."""

    name: str = "fake"
    identity: str = "fake-bank"
    capabilities: base.Capabilities = field(
        default_factory=lambda: base.Capabilities(
            idempotency_window_seconds=24 * 3600.0, settle_time_seconds=3600.0, return_window_seconds=0.0
        )
    )
    calls: list[Call] = field(default_factory=list)
    _answers: dict[str, list[Answer]] = field(default_factory=lambda: {"send": [PAID], "ask": [PAID]})
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_send(self, *answers: Answer) -> None:
        self._answers["send"] = list(answers)

    def on_ask(self, *answers: Answer) -> None:
        self._answers["ask"] = list(answers)

    def promise(self, **capabilities: Any) -> None:
        self.capabilities = replace(self.capabilities, **capabilities)

    def send(self, instruction: base.Instruction) -> base.Report:
        return self._answer("send", instruction)

    def ask(self, instruction: base.Instruction) -> base.Report:
        return self._answer("ask", instruction)

    def authenticate_callback(self, headers: Mapping[str, str], body: bytes) -> str:
        if headers.get("fake-signature") != SIGNATURE:
            raise base.CallbackRefused("It is not signed.")
        return headers["fake-event"]

    def parse_callback(self, body: bytes) -> base.CallbackReport:
        try:
            told = json.loads(body)
            report = base.Report(base.ReportKind(told["kind"]), **told["words"])
            return base.CallbackReport(told["reference"], report, Decimal(told["amount"]), told["currency"])
        except (ValueError, KeyError) as error:
            raise base.CallbackUnreadable("It says nothing.") from error

    @property
    def kinds(self) -> list[str]:
        """What it was called for, in order."""
        return [call.kind for call in self.calls]

    def _answer(self, kind: str, instruction: base.Instruction) -> base.Report:
        with self._lock:
            self.calls.append(Call(kind, instruction, connection.in_atomic_block))
            answers = self._answers[kind]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, base.Report):
            return answer
        if isinstance(answer, BaseException):
            raise answer
        return answer(instruction)


def callback_headers(event_id: str, *, signature: str = SIGNATURE) -> dict[str, str]:
    return {"fake-event": event_id, "fake-signature": signature}


def callback_body(
    reference: str, kind: str, *, amount: str = "10.50", currency: str = "EUR", **words: str | bool
) -> bytes:
    """Return what the provider tells of a reference; the words are those of base.Report."""
    told = {"reference": reference, "kind": kind, "amount": amount, "currency": currency, "words": words}
    return json.dumps(told).encode()


def abandon(provider: FakeProvider, payout: Payout) -> None:
    """Let a worker die that was sending it, and its lease run out."""
    provider.on_send(WorkerKilled())
    with pytest.raises(WorkerKilled):
        processing.process(payout.pk)
    database.expire_lease(payout)
