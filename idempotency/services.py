"""Claim a key, replay what was answered, keep the answer. Knows merchants, and nothing of what a request creates.

# Note [One transaction for a key]
The claim, whatever the request creates and the stored answer are one transaction of the caller. So a record that can
be seen is complete, a crash leaves no trace, and there is no state "in progress" to clean up: a request under way is
an uncommitted row, on which a duplicate waits in the unique index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

from accounts.models import Merchant
from idempotency import errors
from idempotency.models import KEY_LENGTH_MAX, IdempotencyRecord

# A duplicate waits this long for the first request, then gets 409. A payout is created in a few milliseconds, so
# whoever waits longer waits for something broken, and must not hold a web thread meanwhile.
LOCK_TIMEOUT_MS = 2000

# Visible ASCII without the characters that a list of headers or a quoted string would make ambiguous.
BARE_KEY = re.compile(r"[!#-+\--\[\]-~]+")
# A quoted string of RFC 8941: printable ASCII, with quote and backslash escaped.
QUOTED_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')


@dataclass(frozen=True)
class StoredResponse:
    """An answer as it was sent: replayed byte for byte."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fresh:
    """The key was free and is now this transaction's."""

    record_id: int


@dataclass(frozen=True)
class Replay:
    """The key was used for the same request, which was answered like this."""

    response: StoredResponse


def parse_key(header: str | None) -> str | None:
    """Return the key that an Idempotency-Key header holds, or None where there is no header.

    The bare and the quoted spelling of a key are the same key. Raises IdempotencyKeyMalformed for anything else, two
    headers among it: they arrive joined by a comma.
    """
    if header is None:
        return None
    value = header.strip()
    quoted = QUOTED_KEY.fullmatch(value)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not (quoted or BARE_KEY.fullmatch(key)):
        raise errors.IdempotencyKeyMalformed(field="Idempotency-Key")
    return key


def claim(*, merchant: Merchant, mode: str, key: str, fingerprint: str) -> Fresh | Replay:
    """Take the key for the caller's transaction, or return what was answered to the same request before.

    See Note [One transaction for a key]. Waits for a concurrent request with the key, two seconds at most. Raises
    IdempotencyKeyInProgress when it is still under way then, and IdempotencyKeyReused when the key belongs to another
    request.
    """
    record_id = _insert(merchant=merchant, mode=mode, key=key, fingerprint=fingerprint)
    if record_id is not None:
        return Fresh(record_id)
    # A statement of its own sees what has been committed while the insert waited.
    record = IdempotencyRecord.objects.get(merchant=merchant, mode=mode, key=key)
    if record.fingerprint != fingerprint:
        raise errors.IdempotencyKeyReused(field="Idempotency-Key")
    return Replay(_stored_response(record))


def complete(claimed: Fresh, response: StoredResponse) -> None:
    """Keep the answer with the key, in the transaction that claimed it."""
    IdempotencyRecord.objects.filter(pk=claimed.record_id).update(
        response_status=response.status, response_body=response.body, response_headers=response.headers
    )


def _insert(*, merchant: Merchant, mode: str, key: str, fingerprint: str) -> int | None:
    """Insert the record and return its id, or None where there is one already.

    ON CONFLICT waits for the other transaction like any insert, but leaves ours usable when the other one wins.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
        try:
            cursor.execute(
                """
                INSERT INTO idempotency_idempotencyrecord (merchant_id, mode, key, fingerprint)
                VALUES (%s, %s, %s, %s)
                ON CONFLICT (merchant_id, mode, key) DO NOTHING
                RETURNING id
                """,
                [merchant.pk, mode, key, fingerprint],
            )
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise errors.IdempotencyKeyInProgress(field="Idempotency-Key") from error
            raise
        row = cursor.fetchone()
    return row[0] if row else None


def _stored_response(record: IdempotencyRecord) -> StoredResponse:
    return StoredResponse(
        status=int(record.response_status or 0),
        body=bytes(record.response_body or b""),
        headers=dict(record.response_headers),
    )
