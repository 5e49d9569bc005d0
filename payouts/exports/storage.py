"""The room that the background exports of a merchant and mode take in the database, until they are erased."""

from __future__ import annotations

import uuid
from typing import Final

from django.conf import settings
from django.db.models import Sum

from payouts import errors
from payouts.models import Export, ExportQuerySet

BYTES_OF_MEGABYTE: Final = 1_000_000


def require_room(*, merchant_id: uuid.UUID, mode: str) -> None:
    """Raise ExportStorageFull if this merchant and mode may keep no further export."""
    kept = _kept(merchant_id, mode)
    if kept.count() >= settings.EXPORT_KEPT_MAX or _size(kept) >= _size_max():
        raise errors.ExportStorageFull


def has_room(export: Export, *, for_bytes: int) -> bool:
    """Return whether so many bytes more may be stored, of this export or another of its merchant and mode."""
    return _size(_kept(export.merchant_id, export.mode)) + for_bytes <= _size_max()


def _kept(merchant_id: uuid.UUID, mode: str) -> ExportQuerySet:
    return Export.objects.filter(merchant_id=merchant_id, mode=mode, is_stored=True)


def _size(kept: ExportQuerySet) -> int:
    return int(kept.aggregate(size=Sum("stored_bytes", default=0))["size"])


def _size_max() -> int:
    return int(settings.EXPORT_KEPT_MEGABYTES_MAX) * BYTES_OF_MEGABYTE
