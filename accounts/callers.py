"""Who calls: the API key of a request and its merchant, in one hand-written statement.

Every request pays for this statement. Through Django's models it took half of the time of a small request: building
the SQL, and two objects with columns that no request needs.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Protocol

from django.db import connection

from accounts import addresses


class Caller(Protocol):
    """Whose data a request is about, and who is named in the history. A MerchantAPIKey is one, too."""

    @property
    def merchant_id(self) -> uuid.UUID: ...
    @property
    def mode(self) -> str: ...
    @property
    def prefix(self) -> str: ...


@dataclass(frozen=True, slots=True)
class CallingMerchant:
    """The merchant of the API key in use."""

    # REST framework reads this attribute of request.user. Only authentication returns a merchant.
    is_authenticated: ClassVar[bool] = True

    id: uuid.UUID
    name: str
    is_active: bool
    require_idempotency_key: bool


@dataclass(frozen=True, slots=True)
class CallingKey:
    """The API key in use."""

    merchant: CallingMerchant
    id: uuid.UUID
    prefix: str
    hashed_key: str
    name: str
    mode: str
    scopes: Sequence[str]
    allowed_networks: Sequence[str]
    expiry_date: datetime | None
    revoked: bool
    last_used_at: datetime | None

    @property
    def merchant_id(self) -> uuid.UUID:
        return self.merchant.id

    def expired_at(self, now: datetime) -> bool:
        return self.expiry_date is not None and self.expiry_date <= now

    def allows_address(self, address: str) -> bool:
        """Tell whether a caller from this address may use the key. An unreadable address may not."""
        return is_allowed(address, self.allowed_networks)


_FIND: Final = """
    SELECT api_key.id, api_key.prefix, api_key.hashed_key, api_key.name, api_key.mode, api_key.scopes,
        api_key.allowed_networks, api_key.expiry_date, api_key.revoked, api_key.last_used_at,
        merchant.id, merchant.name, merchant.is_active, merchant.require_idempotency_key
    FROM accounts_merchantapikey AS api_key JOIN accounts_merchant AS merchant ON merchant.id = api_key.merchant_id
    WHERE api_key.prefix = %s
"""
_COLUMNS_OF_KEY: Final = 10


def find(prefix: str) -> CallingKey | None:
    """Return the API key with this prefix as it is now, or None. The caller checks the secret and all else."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [prefix])
        row = cursor.fetchone()
    if row is None:
        return None
    return CallingKey(CallingMerchant(*row[_COLUMNS_OF_KEY:]), *row[:_COLUMNS_OF_KEY])


def is_allowed(address: str, networks: Sequence[str]) -> bool:
    """Tell whether the address is in one of the networks. No networks: any address is."""
    if not networks:
        return True
    caller = addresses.parse(address)
    return caller is not None and any(caller in ipaddress.ip_network(network) for network in networks)
