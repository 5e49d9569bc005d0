"""A payout as the API shows it: in the answer to each request, and in the lists.

A list reads the columns that are shown, straight from a query and partly as the database's own text: fifty payouts are
shown in a fraction of the time that REST framework's serializer needs for them, and a list is little else.
(PayoutSerializer says in the schema what comes out here.)
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, Self

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from psycopg.types.string import TextLoader

from accounts.callers import Caller
from payouts import money, recipient_details, representation
from payouts.engine.holds import Holds
from payouts.filters import selection
from payouts.models import Payout
from payouts.recipient_details import RecipientDetails
from payouts.states import PayoutStatus
from postgres.compiled import Compiled

#: Statuses that can have a waiting reason.
_HELD_UP: Final = frozenset({PayoutStatus.PENDING.value, PayoutStatus.UNKNOWN.value})


class Row(NamedTuple):
    """The columns of a document. The last columns are not shown; they say what a payout waits for.

    Times are the database's text, such as `2026-11-23 12:00:00.25+00`: parsing and formatting them again would take a
    fifth of the time of a list.
    """

    id: uuid.UUID
    status: str
    mode: str
    amount: Decimal
    currency: str
    recipient_details: RecipientDetails
    comment: str
    reference: str
    metadata: Mapping[str, str]
    idempotency_key: str | None
    failure_code: str
    failure_message: str
    created_at: str
    updated_at: str
    provider: str
    provider_reference: str
    completed_at: str | None
    expires_at: str | None
    merchant_id: uuid.UUID
    due_at: datetime | None
    contradicted_at: str | None
    version: int

    @classmethod
    def find(cls, payout_id: uuid.UUID, *, caller: Caller) -> Self | None:
        """Return the row of the payout as it is now, or None if the caller has no such payout."""
        arguments = (caller.merchant_id, caller.mode, payout_id)
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.adapters.register_loader("timestamptz", TextLoader)
            cursor.execute(_ONE.sql(DEFAULT_DB_ALIAS, *arguments), arguments)
            columns = cursor.fetchone()
        return None if columns is None else cls._read(columns)

    @classmethod
    def of(cls, payouts: QuerySet[Payout]) -> list[Self]:
        """Return the rows that the query selects, in its order."""
        try:
            sql, parameters = payouts.values_list(*cls._fields).query.get_compiler(payouts.db).as_sql()
        except EmptyResultSet:
            return []
        with selection.finding(payouts.db), connections[payouts.db].cursor() as cursor:
            cursor.adapters.register_loader("timestamptz", TextLoader)
            cursor.execute(sql, parameters)
            return [cls._read(columns) for columns in cursor.fetchall()]

    @classmethod
    def _read(cls, columns: tuple[Any, ...]) -> Self:
        row = cls._make(columns)
        return row._replace(
            recipient_details=json.loads(row.recipient_details),  # type: ignore[arg-type] # The database's text.
            metadata=json.loads(row.metadata),  # type: ignore[arg-type] # Likewise.
            due_at=None if row.due_at is None else parse_datetime(row.due_at),  # type: ignore[arg-type] # Likewise.
        )


_ONE: Final = Compiled(
    lambda merchant_id, mode, payout_id: (
        Payout.objects.of_merchant(merchant_id, mode).filter(pk=payout_id).values_list(*Row._fields)
    )
)


def document(payout: Payout | Row, *, waiting_reason: str) -> dict[str, Any]:
    """Return what the API says of a payout. Amounts have all decimals of their currency; times are RFC 3339 in UTC."""
    return {
        "id": str(payout.id),
        "status": payout.status,
        "mode": payout.mode,
        "amount": money.format_amount(payout.amount, payout.currency),
        "currency": payout.currency,
        "recipient_details": recipient_details.shown(payout.recipient_details),
        "comment": payout.comment,
        "reference": payout.reference,
        "metadata": payout.metadata,
        "idempotency_key": payout.idempotency_key,
        "failure_code": payout.failure_code,
        "failure_message": payout.failure_message,
        "waiting_reason": waiting_reason,
        "created_at": format_time(payout.created_at),
        "updated_at": format_time(payout.updated_at),
        "provider": payout.provider,
        "provider_reference": payout.provider_reference,
        "completed_at": None if payout.completed_at is None else format_time(payout.completed_at),
        "expires_at": None if payout.expires_at is None else format_time(payout.expires_at),
    }


def many(payouts: list[Row]) -> list[dict[str, Any]]:
    """Return the documents of a page. Pauses and circuits are read once, and only if a payout may wait."""
    holds = Holds.read() if any(payout.status in _HELD_UP for payout in payouts) else None
    return [document(payout, waiting_reason=_waiting_reason(payout, holds)) for payout in payouts]


def new(payout: Payout) -> dict[str, Any]:
    """Return the document of a payout that this transaction has created: nothing has held it up yet."""
    return document(payout, waiting_reason="")


def one(payout: Payout | Row) -> dict[str, Any]:
    """Return the document of one payout."""
    holds = Holds.read() if payout.status in _HELD_UP else None
    return document(payout, waiting_reason=_waiting_reason(payout, holds))


def format_time(moment: datetime | str) -> str:
    """Return the time, an object or the database's text, as RFC 3339 in UTC, such as 2026-11-23T12:00:00.250000Z."""
    if isinstance(moment, datetime):
        return moment.isoformat().replace("+00:00", "Z")
    return representation.format_time(moment)


def _waiting_reason(payout: Payout | Row, holds: Holds | None) -> str:
    if holds is None or payout.status not in _HELD_UP:
        return ""
    return holds.reason_for(payout) or ""
