"""Reads and writes of the store. Each function runs in a transaction of its caller."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sandbox_bank import requests, scenarios

_STEPS_AT_ONCE = 200


@dataclass(frozen=True)
class Event:
    """A callback that is due."""

    id: str
    body: bytes
    attempts: int


def count_request(connection: sqlite3.Connection, reference: str) -> int:
    """Count a request for this reference and return its number, from 1."""
    connection.execute(
        "INSERT INTO requests (reference, count) VALUES (?, 1) ON CONFLICT (reference) DO UPDATE SET count = count + 1",
        (reference,),
    )
    return int(connection.execute("SELECT count FROM requests WHERE reference = ?", (reference,)).fetchone()[0])


def transfer(connection: sqlite3.Connection, reference: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM transfers WHERE reference = ?", (reference,)).fetchone()
    return row


def request_of(row: sqlite3.Row) -> requests.TransferRequest:
    return requests.TransferRequest(row["amount"], row["currency"], json.loads(row["recipient"]))


def document(row: sqlite3.Row) -> dict[str, Any]:
    """Return the transfer as the contract shows it."""
    names = ("id", "reference", "amount", "currency", "status", "code", "message")
    return {**{name: row[name] for name in names}, "final": bool(row["final"])}


def refuse(connection: sqlite3.Connection, reference: str, refused: scenarios.Refused) -> None:
    """Store the refusal, which is final for this reference."""
    connection.execute("INSERT INTO refusals VALUES (?, ?)", (reference, refused.code))


def refusal(connection: sqlite3.Connection, reference: str) -> scenarios.Refused | None:
    row = connection.execute("SELECT code FROM refusals WHERE reference = ?", (reference,)).fetchone()
    return scenarios.Refused(row["code"]) if row else None


def create(
    connection: sqlite3.Connection,
    reference: str,
    request: requests.TransferRequest,
    *,
    steps: Sequence[scenarios.Step],
    delivery: scenarios.Delivery,
    now: float,
    callbacks: bool,
) -> None:
    """Create the transfer in its first status and store its later steps, and a callback if they are sent."""
    first = steps[0]
    connection.execute(
        "INSERT INTO transfers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(reference, f"tr_{secrets.token_hex(12)}", request.amount, request.currency, request.recipient_text),
            *(first.status, first.is_final, first.code, first.message),
            *(delivery.copies, delivery.reversed, delivery.lost, len(steps), now),
        ),
    )
    connection.executemany(
        "INSERT INTO steps (reference, number, due_at, status, final, code, message) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (reference, number, now + step.after_seconds, step.status, step.is_final, step.code, step.message)
            for number, step in enumerate(steps[1:], start=2)
        ],
    )
    _after_change(connection, reference, number=1, now=now, callbacks=callbacks)


def hide(connection: sqlite3.Connection, reference: str) -> None:
    connection.execute("INSERT INTO hidden VALUES (?)", (reference,))


def is_hidden(connection: sqlite3.Connection, reference: str) -> bool:
    return connection.execute("SELECT 1 FROM hidden WHERE reference = ?", (reference,)).fetchone() is not None


def execute_again(connection: sqlite3.Connection, row: sqlite3.Row, *, now: float) -> None:
    """Move the money of a transfer that the bank has forgotten."""
    _execute(connection, row, now=now)
    connection.execute("UPDATE transfers SET created_at = ? WHERE reference = ?", (now, row["reference"]))


def settle_due(connection: sqlite3.Connection, *, now: float, callbacks: bool) -> list[sqlite3.Row]:
    """Apply the due steps, oldest first, and return them."""
    due = connection.execute(
        "SELECT * FROM steps WHERE done = 0 AND due_at <= ? ORDER BY due_at, number LIMIT ?", (now, _STEPS_AT_ONCE)
    ).fetchall()
    for step in due:
        connection.execute(
            "UPDATE transfers SET status = ?, final = ?, code = ?, message = ? WHERE reference = ?",
            (step["status"], step["final"], step["code"], step["message"], step["reference"]),
        )
        connection.execute(
            "UPDATE steps SET done = 1 WHERE reference = ? AND number = ?", (step["reference"], step["number"])
        )
        _after_change(connection, step["reference"], number=step["number"], now=now, callbacks=callbacks)
    return due


def next_step_at(connection: sqlite3.Connection) -> float | None:
    at: float | None = connection.execute("SELECT min(due_at) FROM steps WHERE done = 0").fetchone()[0]
    return at


def _after_change(connection: sqlite3.Connection, reference: str, *, number: int, now: float, callbacks: bool) -> None:
    """Record the execution if the transfer became paid, and the callback of each change."""
    row = transfer(connection, reference)
    assert row is not None
    if row["status"] == scenarios.PAID:
        _execute(connection, row, now=now)
    if callbacks:
        _add_event(connection, row, number=number, now=now)


def _execute(connection: sqlite3.Connection, row: sqlite3.Row, *, now: float) -> None:
    connection.execute(
        "INSERT INTO executions (reference, amount, currency, account, executed_at) VALUES (?, ?, ?, ?, ?)",
        (row["reference"], row["amount"], row["currency"], request_of(row).account, now),
    )


def _add_event(connection: sqlite3.Connection, row: sqlite3.Row, *, number: int, now: float) -> None:
    body = json.dumps({"type": "transfer.updated", "transfer": document(row)})
    # In reverse order each event waits for the next one, if there is a next one.
    is_waiting = row["reversed"] and number < row["steps"]
    after_id = _event_id(row, number + 1) if is_waiting else ""
    state = "lost" if row["lost"] else "waiting"
    connection.execute(
        "INSERT INTO events (id, reference, body, state, copies_left, due_at, after_id) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (_event_id(row, number), row["reference"], body, state, row["copies"], now, after_id),
    )


def _event_id(row: sqlite3.Row, number: int) -> str:
    return f"evt_{row['id'].removeprefix('tr_')}_{number}"


def due_events(connection: sqlite3.Connection, *, now: float, limit: int) -> list[Event]:
    """Return the callbacks that are due, the longest waiting first."""
    rows = connection.execute(
        "SELECT id, body, attempts FROM events WHERE state = 'waiting' AND due_at <= ? AND (after_id = '' OR EXISTS"
        " (SELECT 1 FROM events AS later WHERE later.id = events.after_id AND later.state = 'delivered'))"
        " ORDER BY due_at, id LIMIT ?",
        (now, limit),
    )
    return [Event(row["id"], row["body"].encode(), row["attempts"]) for row in rows]


def next_event_at(connection: sqlite3.Connection, *, now: float) -> float | None:
    at: float | None = connection.execute(
        "SELECT min(due_at) FROM events WHERE state = 'waiting' AND due_at > ?", (now,)
    ).fetchone()[0]
    return at


def mark_delivered(connection: sqlite3.Connection, event_id: str) -> None:
    """Count a delivery. The callback stays due until all its copies are delivered."""
    connection.execute(
        "UPDATE events SET attempts = attempts + 1, copies_left = copies_left - 1,"
        " state = CASE copies_left WHEN 1 THEN 'delivered' ELSE state END WHERE id = ?",
        (event_id,),
    )


def postpone(connection: sqlite3.Connection, event_id: str, *, due_at: float) -> None:
    connection.execute("UPDATE events SET attempts = attempts + 1, due_at = ? WHERE id = ?", (due_at, event_id))


def contents(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return all that an audit compares with the platform's records."""
    transfers = connection.execute(
        "SELECT transfers.*, coalesce(requests.count, 0) AS requests,"
        " (SELECT count(*) FROM executions WHERE executions.reference = transfers.reference) AS executions"
        " FROM transfers LEFT JOIN requests USING (reference) ORDER BY created_at, reference"
    )
    refusals = connection.execute(
        "SELECT reference, code, count AS requests FROM refusals JOIN requests USING (reference) ORDER BY reference"
    )
    callbacks = dict(connection.execute("SELECT state, count(*) FROM events GROUP BY state").fetchall())
    return {
        "transfers": [
            {**document(row), "executions": row["executions"], "requests": row["requests"]} for row in transfers
        ],
        "refusals": [dict(row) for row in refusals],
        "executions": connection.execute("SELECT count(*) FROM executions").fetchone()[0],
        "callbacks": {state: callbacks.get(state, 0) for state in ("waiting", "delivered", "lost")},
    }
