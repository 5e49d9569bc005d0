"""What the bank does about one transfer. Each request is one transaction of the book, answered after its COMMIT."""

from __future__ import annotations

import dataclasses
import sqlite3
import time
from collections.abc import Callable
from http import HTTPStatus

from devstack.bank import answers, behaviour, entries, faults, terms, words
from devstack.bank.answers import Answer, Manner
from devstack.bank.book import Book

_RETRY_AFTER_SECONDS = 1


class Teller:
    """Executes each reference once. Two requests at once for one reference meet in the book, which takes one by one."""

    def __init__(
        self,
        book: Book,
        *,
        dice: faults.Dice,
        timing: behaviour.Timing,
        tells: bool,
        changed: Callable[[], None],
    ) -> None:
        self._book = book
        self._dice = dice
        self._timing = timing
        self._tells = tells
        self._changed = changed

    def put(self, reference: str, wanted: terms.Terms) -> Answer:
        """Have the transfer made unless it is there; raise nothing, a refusal is an answer."""
        draw = self._dice.draw()
        with self._book.transaction() as connection:
            is_first = entries.count_request(connection, reference) == 1
            conduct = behaviour.decide(wanted.account, is_first=is_first, draw=draw, timing=self._timing)
            answer = _misbehave_before(conduct.manner) or self._serve(connection, reference, wanted, conduct)
        self._changed()
        how = "" if conduct.manner == Manner.WELL else f" ({conduct.manner.value})"
        words.say(f"{reference} {wanted.amount} {wanted.currency}: {answer.status.value}{how}")
        return answer

    def ask(self, reference: str) -> Answer:
        """Tell what is known of the reference. Faults are for those who move money: who asks is answered well."""
        with self._book.transaction() as connection:
            row = entries.transfer(connection, reference)
        if row is None:
            return answers.problem(
                HTTPStatus.NOT_FOUND, "transfer_not_found", "The bank knows no transfer with this reference."
            )
        return Answer(status=HTTPStatus.OK, document=entries.document(row))

    def _serve(
        self, connection: sqlite3.Connection, reference: str, wanted: terms.Terms, conduct: behaviour.Conduct
    ) -> Answer:
        answer = _answer_known(connection, reference, wanted) or self._create(connection, reference, wanted, conduct)
        if conduct.manner == Manner.ERROR_AFTER:
            return _error()
        return dataclasses.replace(answer, manner=conduct.manner, delay_seconds=conduct.slow_seconds)

    def _create(
        self, connection: sqlite3.Connection, reference: str, wanted: terms.Terms, conduct: behaviour.Conduct
    ) -> Answer:
        if isinstance(conduct.outcome, behaviour.Refused):
            entries.refuse(connection, reference, conduct.outcome)
            return _refused(reference, conduct.outcome)
        entries.create(
            connection,
            reference,
            wanted,
            steps=conduct.outcome,
            telling=conduct.telling,
            now=time.time(),
            tells=self._tells,
        )
        row = entries.transfer(connection, reference)
        assert row is not None
        return Answer(status=HTTPStatus.CREATED, document=entries.document(row))


def _misbehave_before(manner: Manner) -> Answer | None:
    """Answer without having looked for the transfer."""
    if manner == Manner.RATE_LIMITED:
        return answers.problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests. Nothing was done.",
            headers={"Retry-After": str(_RETRY_AFTER_SECONDS)},
        )
    return _error() if manner == Manner.ERROR_BEFORE else None


def _answer_known(connection: sqlite3.Connection, reference: str, wanted: terms.Terms) -> Answer | None:
    """Answer for a reference that was decided about, and None for a new one."""
    # What was refused stays refused, whatever chance says now: a refusal is relied upon.
    if refused := entries.refusal(connection, reference):
        return _refused(reference, refused)
    row = entries.transfer(connection, reference)
    if row is None:
        return None
    if not entries.terms_of(row).agree_with(wanted):
        return answers.problem(
            HTTPStatus.CONFLICT, "reference_conflict", "The reference was used for other terms. Nothing was done."
        )
    return Answer(status=HTTPStatus.OK, document=entries.document(row))


def _refused(reference: str, refused: behaviour.Refused) -> Answer:
    """Refuse by name: whoever gets the answer to another request sees that it is not meant."""
    document = {"code": refused.code, "message": refused.message, "reference": reference}
    return Answer(status=HTTPStatus.UNPROCESSABLE_ENTITY, document=document)


def _error() -> Answer:
    return answers.problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong.")
