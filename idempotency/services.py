"""Claim a key, replay a stored answer, store an answer. Independent of the resources that requests create.

# Note [One transaction for a key]
The claim, the work of the request and the stored answer are one transaction of the caller. So a visible record is
complete, a crash leaves no trace, and there is no state "in progress" to clean up: a request under way is an
uncommitted row, and a duplicate waits for it in the unique index.
A request that changes something claims its key first (`claim`, `complete`). A request that creates something looks the
key up (`look_up`) and then writes all at once (`create`): of two at the same time one finds the key taken, and has done
nothing so far that would have to be undone.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import DatabaseError, connection
from psycopg.types.json import Jsonb

from accounts.callers import Caller
from idempotency import errors, fingerprint, keys
from idempotency.models import ONE_REQUEST_FOR_A_KEY, PATH_LENGTH_MAX, IdempotencyRecord
from postgres.errors import context_of, is_locked, timed_out, violates

# A duplicate waits this long for the first request, then gets 409. Creating a payout takes a few milliseconds, so a
# longer wait means that something is broken, and it must not occupy a web thread.
LOCK_TIMEOUT_MS = 2000

# The lock timeout starts again for each lock: if the first request is rolled back, the next one gets the key, and the
# rest wait for that one. This limits all waits of a statement. It is greater, so that a single wait hits its own limit.
STATEMENT_TIMEOUT_MS = 2500


_LIMITS: Final = {"lock_timeout": f"{LOCK_TIMEOUT_MS}ms", "statement_timeout": f"{STATEMENT_TIMEOUT_MS}ms"}
_SET_LIMITS: Final = (
    "set_config('lock_timeout', %(lock_timeout)s, true), set_config('statement_timeout', %(statement_timeout)s, true)"
)

#: One row in any case: the limits, the time, and the record if there is one.
_LOOK_UP: Final = f"""
    SELECT {_SET_LIMITS}, statement_timestamp(), record.id, record.fingerprint, record.method, record.path,
        record.resource_id, record.response_status, record.response_body, record.response_headers
    FROM (SELECT) AS one LEFT JOIN idempotency_idempotencyrecord AS record
        ON record.merchant_id = %(merchant_id)s AND record.mode = %(mode)s AND record.key = %(key)s
"""

_CREATE: Final = """
    WITH claimed AS (
        INSERT INTO idempotency_idempotencyrecord (
            merchant_id, mode, key, fingerprint, method, path, resource_type, resource_id, response_status,
            response_body, response_headers
        )
        VALUES (
            %(claimed_merchant_id)s, %(claimed_mode)s, %(claimed_key)s, %(claimed_fingerprint)s, %(claimed_method)s,
            %(claimed_path)s, %(claimed_type)s, %(claimed_id)s, %(claimed_status)s, %(claimed_body)s,
            %(claimed_headers)s
        )
        ON CONFLICT (merchant_id, mode, key) DO NOTHING
        RETURNING id
    )"""


_NO_KEY: Final = "WITH claimed AS (SELECT)"


class _Record(NamedTuple):
    """The columns of a record that decide about a retry."""

    fingerprint: str
    method: str
    path: str
    resource_id: uuid.UUID | None
    response_status: int | None
    response_body: bytes | None
    response_headers: str


@dataclass(frozen=True)
class StoredResponse:
    """An answer as it was sent. It is replayed byte for byte."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resource:
    """The resource that a request created or changed."""

    type: str
    id: uuid.UUID


@dataclass(frozen=True)
class Inserts:
    """What a request creates, as CTEs of one statement, with their parameters.

    Each CTE inserts `SELECT ... FROM claimed`, which has one row if the key was free, and none otherwise.
    """

    ctes: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Unused:
    """The key has no record so far. `now` is the database's time."""

    now: datetime


@dataclass(frozen=True)
class Fresh:
    """The key was free. This transaction has claimed it."""

    record_id: int


@dataclass(frozen=True)
class Replay:
    """The key was used for the same request. Its stored answer."""

    response: StoredResponse


@dataclass(frozen=True)
class Purged:
    """The key was used for the same request. Its answer was purged (idempotency/retention.py)."""

    resource_id: uuid.UUID


Found = Unused | Replay | Purged


def claim(*, api_key: Caller, key: str, request: fingerprint.Request) -> Fresh | Replay | Purged:
    """Claim the key for the caller's transaction, or return the record of the same request.

    The key belongs to a merchant and mode, so all their API keys share it. See Note [One transaction for a key].
    Waits for concurrent requests with the key: two seconds for one, 2.5 seconds for several in turn. These timeouts
    stay set for the rest of the transaction.

    Raises IdempotencyKeyInProgress if a request is still under way after the wait, IdempotencyKeyReused if the key
    belongs to another request, and IdempotencyKeyUnreadable if a newer version wrote the record.
    """
    record_id = _insert(api_key, key=key, request=request)
    if record_id is not None:
        return Fresh(record_id)
    # A new statement sees what was committed while the insert waited.
    found = look_up(api_key=api_key, key=key, request=request)
    assert not isinstance(found, Unused)
    return found


def look_up(*, api_key: Caller, key: str | None, request: fingerprint.Request) -> Found:
    """Return the record of the same request, or that there is none. It does not wait for concurrent requests.

    It sets the time limits of `claim` for the rest of the caller's transaction. Begin the transaction with it: BEGIN
    and this statement are one round trip then. Without a key it only tells the time.

    Raises IdempotencyKeyReused and IdempotencyKeyUnreadable like `claim`.
    """
    parameters = {**_LIMITS, "merchant_id": api_key.merchant_id, "mode": api_key.mode, "key": key}
    connection.ensure_connection()
    # The end of the pipeline is psycopg's, and may find the connection lost.
    with connection.wrap_database_errors, connection.connection.pipeline(), connection.cursor() as cursor:
        cursor.execute(_LOOK_UP, parameters)
        now, *columns = cursor.fetchone()[len(_LIMITS) :]
    record_id, *stored = columns
    return Unused(now) if record_id is None else _judged(_Record(*stored), request)


def create(
    inserts: Inserts,
    resource: Resource,
    response: StoredResponse,
    *,
    api_key: Caller,
    key: str | None,
    request: fingerprint.Request,
) -> bool:
    """Write what the request creates, and with a key its record with the answer, in one statement.

    Returns False if the key has a record by now; then nothing was written. The unique index decides between concurrent
    requests, like in `claim`: it waits for as long, and raises the same.
    """
    parameters = dict(inserts.parameters)
    if key is not None:
        parameters |= _parameters_of_record(resource, response, api_key=api_key, key=key, request=request)
    with connection.cursor() as cursor, _refusing_the_key():
        cursor.execute(f"{_NO_KEY if key is None else _CREATE}, {inserts.ctes} SELECT FROM claimed", parameters)
        return bool(cursor.rowcount)


def _parameters_of_record(
    resource: Resource, response: StoredResponse, *, api_key: Caller, key: str, request: fingerprint.Request
) -> dict[str, Any]:
    return {
        "claimed_merchant_id": api_key.merchant_id,
        "claimed_mode": api_key.mode,
        "claimed_key": key,
        "claimed_fingerprint": fingerprint.of_request(request),
        "claimed_method": request.method,
        "claimed_path": request.path[:PATH_LENGTH_MAX],
        "claimed_type": resource.type,
        "claimed_id": resource.id,
        "claimed_status": response.status,
        "claimed_body": response.body,
        "claimed_headers": Jsonb(response.headers),
    }


def complete(claimed: Fresh, response: StoredResponse, *, resource: Resource) -> None:
    """Store the answer with the key, in the transaction that claimed the key."""
    IdempotencyRecord.objects.filter(pk=claimed.record_id).update(
        resource_type=resource.type,
        resource_id=resource.id,
        response_status=response.status,
        response_body=response.body,
        response_headers=response.headers,
    )


def find_record(text: str, *, api_key: Caller) -> IdempotencyRecord:
    """Return the record of the key that a path names, without its answer.

    Raises IdempotencyKeyMalformed if the text cannot be a key, and IdempotencyKeyNotFound if this merchant has no such
    key in this mode.
    """
    key = keys.parse_address(text)
    if key is None:
        raise errors.IdempotencyKeyMalformed(field="key")
    records = IdempotencyRecord.objects.visible_to(api_key).defer("response_body", "response_headers")
    record = records.filter(key=key).first()
    if record is None:
        raise errors.IdempotencyKeyNotFound
    return record


def _insert(api_key: Caller, *, key: str, request: fingerprint.Request) -> int | None:
    """Insert the record and return its id, or None if the key has a record.

    ON CONFLICT waits for the other transaction like any insert, but keeps ours usable if the other one wins.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_SET_LIMITS}",
            _LIMITS,
        )
        with _refusing_the_key():
            cursor.execute(
                """
                INSERT INTO idempotency_idempotencyrecord (merchant_id, mode, key, fingerprint, method, path)
                VALUES (%s, %s, %s, %s, %s, %s)
                ON CONFLICT (merchant_id, mode, key) DO NOTHING
                RETURNING id
                """,
                [
                    api_key.merchant_id,
                    api_key.mode,
                    key,
                    fingerprint.of_request(request),
                    request.method,
                    request.path[:PATH_LENGTH_MAX],
                ],
            )
        row = cursor.fetchone()
    return row[0] if row else None


@contextmanager
def _refusing_the_key() -> Iterator[None]:
    """Raise IdempotencyKeyInProgress for an error that another request with the key has caused."""
    try:
        yield
    except DatabaseError as error:
        if _is_about_the_key(error):
            raise errors.IdempotencyKeyInProgress(field="Idempotency-Key") from error
        raise


def _is_about_the_key(error: DatabaseError) -> bool:
    """Tell whether the claim failed because of another request with the key.

    A timeout, for one lock or (canceled) for several in turn: PostgreSQL names the table or index of the insert, but
    neither if the whole table was locked or a disk was slow. A unique violation: during REINDEX CONCURRENTLY the new
    index refuses a duplicate before ON CONFLICT knows the index. (Two claims at the same moment may wait for each
    other, and PostgreSQL names nothing. They are answered as database_busy.)
    """
    if is_locked(error) or timed_out(error):
        return any(place in context_of(error) for place in ("idempotency_idempotencyrecord", ONE_REQUEST_FOR_A_KEY))
    return violates(error, ONE_REQUEST_FOR_A_KEY)


def _judged(record: _Record, request: fingerprint.Request) -> Replay | Purged:
    """Return what the record has for this request."""
    try:
        is_same = fingerprint.belongs_to(request, record.fingerprint)
    except fingerprint.VersionUnknown as error:
        raise errors.IdempotencyKeyUnreadable from error
    if not is_same:
        raise errors.IdempotencyKeyReused(_used_for(record, request), field="Idempotency-Key")
    return _known(record)


def _used_for(record: _Record, request: fingerprint.Request) -> str:
    """Return the message that says what differs, for the developer of the client."""
    advice = errors.IdempotencyKeyReused().message.partition(". ")[2]
    if (record.method, record.path) == (request.method, request.path):
        return f"This Idempotency-Key was used with another body. {advice}"
    # Empty in a record that version 0.1 wrote during the upgrade.
    what = f"{record.method} {record.path}" if record.method else "another request"
    return f"This Idempotency-Key was used for {what}. {advice}"


def _known(record: _Record) -> Replay | Purged:
    if record.response_status is not None and record.response_body is not None:
        headers = json.loads(record.response_headers)
        return Replay(StoredResponse(record.response_status, bytes(record.response_body), headers))
    if record.resource_id is not None:
        return Purged(record.resource_id)
    # Every known version stores at least the resource.
    raise errors.IdempotencyKeyUnreadable
