"""The file of an export that was made in the background, from its chunks, one at a time."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterator

from django.utils import timezone

from accounts.errors import MerchantSuspended
from payouts import errors
from payouts.exports import links
from payouts.models import Export, ExportChunk, ExportKind, ExportStatus


def is_kept(export: Export) -> bool:
    """Tell whether there is a file to be downloaded."""
    return (
        export.kind == ExportKind.JOB
        and export.status == ExportStatus.COMPLETED
        and export.expires_at is not None
        and export.expires_at > timezone.now()
    )


def size_of(export: Export, *, compressed: bool) -> int:
    """Return how many bytes `read` yields."""
    return export.stored_bytes if compressed else export.size_bytes


def read(export: Export, *, compressed: bool) -> Iterator[bytes]:
    """Yield the file as it is stored, or unpacked.

    Where the chunks are erased meanwhile it breaks off with ExportChunk.DoesNotExist: no file ever only looks whole.
    """
    number, left = 0, export.stored_bytes
    while left > 0:
        body = bytes(ExportChunk.objects.values_list("body", flat=True).get(export_id=export.pk, number=number))
        number, left = number + 1, left - len(body)
        yield body if compressed else gzip.decompress(body)


def find(export_id: uuid.UUID, *, token: str) -> Export:
    """Return the export that the link is for.

    Raises DownloadLinkInvalid, DownloadLinkExpired, MerchantSuspended (a suspension ends links as it does API keys) or
    ExportNotKept.
    """
    links.check(export_id, token)
    export = Export.objects.select_related("merchant").filter(pk=export_id).first()
    if export is not None and not export.merchant.is_active:
        raise MerchantSuspended
    if export is None or not is_kept(export):
        raise errors.ExportNotKept
    return export
