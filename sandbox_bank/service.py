"""What the bank does about one transfer. Each request is one transaction of the book, answered after its COMMIT."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Callable
from http import HTTPStatus

from sandbox_bank import console, faults, requests, responses, scenarios, transfers
from sandbox_bank.responses import Answer, Manner
from sandbox_bank.store import Book

_RETRY_AFTER_SECONDS = 1


class Teller:
    """Executes each reference once. Two requests at once for one reference meet in the book, which takes one by one."""

    def __init__(
        self,
        book: Book,
        *,
        dice: faults.Dice,
        timing: scenarios.Timing,
        tells: bool,
        changed: Callable[[], None],
    ) -> None:
        self._book = book
        self._dice = dice
        self._timing = timing
        self._tells = tells
        self._changed = changed

    def put(self, reference: str, wanted: requests.Terms) -> Answer:
        """Have the transfer made unless it is there; raise nothing, a refusal is an answer."""
        draw = self._dice.draw()
        with self._book.transaction() as connection:
            is_first = transfers.count_request(connection, reference) == 1
            conduct = scenarios.decide(wanted.account, is_first=is_first, draw=draw, timing=self._timing)
            answer = _misbehave_before(conduct.manner) or self._serve(connection, reference, wanted, conduct)
        self._changed()
        how = "" if conduct.manner == Manner.WELL else f" ({conduct.manner.value})"
        console.say(f"{reference} {wanted.amount} {wanted.currency}: {answer.status.value}{how}")
        return answer

    def ask(self, reference: str) -> Answer:
        """Tell what is known of the reference. Faults are for those who move money: who asks is answered well."""
        with self._book.transaction() as connection:
            row = transfers.transfer(connection, reference)
        if row is None:
            return responses.problem(
                HTTPStatus.NOT_FOUND, "transfer_not_found", "The bank knows no transfer with this reference."
            )
        return Answer(status=HTTPStatus.OK, document=transfers.document(row))

    def _serve(
        self, connection: sqlite3.Connection, reference: str, wanted: requests.Terms, conduct: scenarios.Conduct
    ) -> Answer:
        answer = _answer_known(connection, reference, wanted) or self._create(connection, reference, wanted, conduct)
        if conduct.manner == Manner.ERROR_AFTER:
            return _error()
        return dataclasses.replace(answer, manner=conduct.manner, delay_seconds=conduct.slow_seconds)

    def _create(
        self, connection: sqlite3.Connection, reference: str, wanted: requests.Terms, conduct: scenarios.Conduct
    ) -> Answer:
        if isinstance(conduct.outcome, scenarios.Refused):
            transfers.refuse(connection, reference, conduct.outcome)
            return _refused(reference, conduct.outcome)
        transfers.create(
            connection,
            reference,
            wanted,
            steps=conduct.outcome,
            telling=conduct.telling,
            now=time.time(),
            tells=self._tells,
        )
        row = transfers.transfer(connection, reference)
        assert row is not None
        return Answer(status=HTTPStatus.CREATED, document=transfers.document(row))


def _misbehave_before(manner: Manner) -> Answer | None:
    """Answer without having looked for the transfer."""
    if manner == Manner.RATE_LIMITED:
        return responses.problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests. Nothing was done.",
            headers={"Retry-After": str(_RETRY_AFTER_SECONDS)},
        )
    return _error() if manner == Manner.ERROR_BEFORE else None


def _answer_known(connection: sqlite3.Connection, reference: str, wanted: requests.Terms) -> Answer | None:
    """Answer for a reference that was decided about, and None for a new one."""
    # What was refused stays refused, whatever chance says now: a refusal is relied upon.
    if refused := transfers.refusal(connection, reference):
        return _refused(reference, refused)
    row = transfers.transfer(connection, reference)
    if row is None:
        return None
    if not transfers.terms_of(row).agree_with(wanted):
        return responses.problem(
            HTTPStatus.CONFLICT, "reference_conflict", "The reference was used for other terms. Nothing was done."
        )
    return Answer(status=HTTPStatus.OK, document=transfers.document(row))


def _refused(reference: str, refused: scenarios.Refused) -> Answer:
    """Refuse by name: whoever gets the answer to another request sees that it is not meant."""
    document = {"code": refused.code, "message": refused.message, "reference": reference}
    return Answer(status=HTTPStatus.UNPROCESSABLE_ENTITY, document=document)


def _error() -> Answer:
    return responses.problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong.")
