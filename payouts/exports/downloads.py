"""The file of a background export, read chunk by chunk."""

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
    """Return whether the file can be downloaded."""
    return (
        export.kind == ExportKind.JOB
        and export.status == ExportStatus.COMPLETED
        and export.expires_at is not None
        and export.expires_at > timezone.now()
    )


def size_of(export: Export, *, compressed: bool) -> int:
    """Return the size of what `read` yields."""
    return export.stored_bytes if compressed else export.size_bytes


def read(export: Export, *, compressed: bool) -> Iterator[bytes]:
    """Yield the file, compressed as stored or unpacked.

    Raises ExportChunk.DoesNotExist if a chunk has been erased, so that a cut file never looks complete.
    """
    number, left = 0, export.stored_bytes
    while left > 0:
        body = bytes(ExportChunk.objects.values_list("body", flat=True).get(export_id=export.pk, number=number))
        number, left = number + 1, left - len(body)
        yield body if compressed else gzip.decompress(body)


def find(export_id: uuid.UUID, *, token: str) -> Export:
    """Return the export of the link.

    Raises DownloadLinkInvalid, DownloadLinkExpired, MerchantSuspended (a suspension ends links as well as API keys) or
    ExportNotKept.
    """
    links.check(export_id, token)
    export = Export.objects.select_related("merchant").filter(pk=export_id).first()
    if export is not None and not export.merchant.is_active:
        raise MerchantSuspended
    if export is None or not is_kept(export):
        raise errors.ExportNotKept
    return export
