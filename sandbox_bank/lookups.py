"""What the bank says of a transfer when it is asked: the truth, or one of the lies that the faults put in force.

A lie is for a while. No lie names an end that the transfer does not have: of that, no platform could make anything.
"""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from http import HTTPStatus

from sandbox_bank import audit, faults, responses, transfers
from sandbox_bank.responses import Response


def answer(connection: sqlite3.Connection, reference: str, *, draw: faults.Draw, now: float) -> Response:
    """Return what is known of the reference, or a lie. A reference that is not there is never lied about."""
    row = transfers.transfer(connection, reference)
    if row is None:
        return _not_found()
    lie = _lie(connection, row, draw, now=now)
    if lie is None:
        return Response(status=HTTPStatus.OK, document=transfers.document(row))
    audit.note_lie(connection, reference, lie)
    if lie == "lookup_error":
        return error()
    return _another_amount(row) if lie == "lookup_amount" else _not_found()


def is_hidden(connection: sqlite3.Connection, row: sqlite3.Row, draw: faults.Draw, *, now: float) -> bool:
    """Tell whether the bank denies this transfer at the moment."""
    seconds = draw.durations.get("hidden_seconds", 0.0)
    return now - row["created_at"] < seconds and transfers.is_hidden(connection, row["reference"])


def _lie(connection: sqlite3.Connection, row: sqlite3.Row, draw: faults.Draw, *, now: float) -> str | None:
    if is_hidden(connection, row, draw, now=now):
        return "hidden"
    return next((name for name in faults.LOOKUPS if name in draw.triggered), None)


def _another_amount(row: sqlite3.Row) -> Response:
    amount = Decimal(row["amount"])
    return Response(status=HTTPStatus.OK, document={**transfers.document(row), "amount": f"{amount * 2:f}"})


def _not_found() -> Response:
    return responses.problem(
        HTTPStatus.NOT_FOUND, "transfer_not_found", "The bank knows no transfer with this reference."
    )


def error() -> Response:
    return responses.problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong.")
