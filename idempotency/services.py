"""Claim a key, replay what was answered, keep the answer. Knows merchants, and nothing of what a request creates.

# Note [One transaction for a key]
The claim, whatever the request creates and the stored answer are one transaction of the caller. So a record that can
be seen is complete, a crash leaves no trace, and there is no state "in progress" to clean up: a request under way is
an uncommitted row, on which a duplicate waits in the unique index.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from django.db import DatabaseError, connection

from accounts.models import MerchantAPIKey
from idempotency import errors, fingerprint, keys
from idempotency.models import ONE_REQUEST_FOR_A_KEY, PATH_LENGTH_MAX, IdempotencyRecord
from postgres.errors import context_of, is_locked, timed_out, violates

# A duplicate waits this long for the first request, then gets 409. A payout is created in a few milliseconds, so
# whoever waits longer waits for something broken, and must not hold a web thread meanwhile.
LOCK_TIMEOUT_MS = 2000

# Each lock is waited for anew: if the first request is undone, the next in line has the key, and the rest wait for that
# one. This is for all waiting of one statement together. More than the other, so that a single wait ends as what it is.
STATEMENT_TIMEOUT_MS = 2500


@dataclass(frozen=True)
class StoredResponse:
    """An answer as it was sent: replayed byte for byte."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resource:
    """What a request created or changed."""

    type: str
    id: uuid.UUID


@dataclass(frozen=True)
class Fresh:
    """The key was free and is now this transaction's."""

    record_id: int


@dataclass(frozen=True)
class Replay:
    """The key was used for the same request, which was answered like this."""

    response: StoredResponse


@dataclass(frozen=True)
class Purged:
    """The key was used for the same request, of whose answer this is left (idempotency/retention.py)."""

    resource_id: uuid.UUID


def claim(*, api_key: MerchantAPIKey, key: str, request: fingerprint.Request) -> Fresh | Replay | Purged:
    """Take the key for the caller's transaction, or return what is known of the same request before.

    The key belongs to the merchant and mode of the API key, whichever of their API keys is shown. See Note [One
    transaction for a key]. Waits for a concurrent request with the key, two seconds for one and half a second more for
    all that have it in turn, and leaves these limits to the rest of the transaction.

    Raises IdempotencyKeyInProgress when one is still under way then, IdempotencyKeyReused when the key belongs to
    another request, and IdempotencyKeyUnreadable when only a newer version of this code could tell.
    """
    record_id = _insert(api_key, key=key, request=request)
    if record_id is not None:
        return Fresh(record_id)
    # A statement of its own sees what has been committed while the insert waited.
    record = IdempotencyRecord.objects.visible_to(api_key).get(key=key)
    try:
        is_same = fingerprint.belongs_to(request, record.fingerprint)
    except fingerprint.VersionUnknown as error:
        raise errors.IdempotencyKeyUnreadable from error
    if not is_same:
        raise errors.IdempotencyKeyReused(_used_for(record, request), field="Idempotency-Key")
    return _known(record)


def complete(claimed: Fresh, response: StoredResponse, *, resource: Resource) -> None:
    """Keep the answer with the key, in the transaction that claimed it."""
    IdempotencyRecord.objects.filter(pk=claimed.record_id).update(
        resource_type=resource.type,
        resource_id=resource.id,
        response_status=response.status,
        response_body=response.body,
        response_headers=response.headers,
    )


def find_record(text: str, *, api_key: MerchantAPIKey) -> IdempotencyRecord:
    """Return the record of the key that a path names, without its answer.

    Raises IdempotencyKeyMalformed where no key can be written like that, and IdempotencyKeyNotFound where this merchant
    has none in this mode.
    """
    key = keys.parse_address(text)
    if key is None:
        raise errors.IdempotencyKeyMalformed(field="key")
    records = IdempotencyRecord.objects.visible_to(api_key).defer("response_body", "response_headers")
    record = records.filter(key=key).first()
    if record is None:
        raise errors.IdempotencyKeyNotFound
    return record


def _insert(api_key: MerchantAPIKey, *, key: str, request: fingerprint.Request) -> int | None:
    """Insert the record and return its id, or None where there is one already.

    ON CONFLICT waits for the other transaction like any insert, but leaves ours usable when the other one wins.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
            [f"{LOCK_TIMEOUT_MS}ms", f"{STATEMENT_TIMEOUT_MS}ms"],
        )
        try:
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
        except DatabaseError as error:
            if _is_about_the_key(error):
                raise errors.IdempotencyKeyInProgress(field="Idempotency-Key") from error
            raise
        row = cursor.fetchone()
    return row[0] if row else None


def _is_about_the_key(error: DatabaseError) -> bool:
    """Tell whether the claim failed because of another request with the key, and not because of something else.

    Waited for too long, for one lock or (canceled) for several in turn: PostgreSQL names the table or the index that it
    was about to add to, and neither if the whole table was locked, or a disk slow. Or the index is being rebuilt
    CONCURRENTLY: ON CONFLICT does not know the new one yet, which refuses a duplicate by itself. (Two that claim in the
    very same moment may wait for each other without a word of it. They are told that the database is busy.)
    """
    if is_locked(error) or timed_out(error):
        return any(place in context_of(error) for place in ("idempotency_idempotencyrecord", ONE_REQUEST_FOR_A_KEY))
    return violates(error, ONE_REQUEST_FOR_A_KEY)


def _used_for(record: IdempotencyRecord, request: fingerprint.Request) -> str:
    """Say what differs, for whoever looks for the mistake in a program."""
    advice = errors.IdempotencyKeyReused().message.partition(". ")[2]
    if (record.method, record.path) == (request.method, request.path):
        return f"This Idempotency-Key was used with another body. {advice}"
    # Empty in a record that version 0.1 wrote during the upgrade.
    what = f"{record.method} {record.path}" if record.method else "another request"
    return f"This Idempotency-Key was used for {what}. {advice}"


def _known(record: IdempotencyRecord) -> Replay | Purged:
    if record.response_status is not None and record.response_body is not None:
        body, headers = bytes(record.response_body), dict(record.response_headers)
        return Replay(StoredResponse(record.response_status, body, headers))
    if record.resource_id is not None:
        return Purged(record.resource_id)
    # No version of ours records less than that.
    raise errors.IdempotencyKeyUnreadable
