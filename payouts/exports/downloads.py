"""The file of a background export, read chunk by chunk. It never changes, so a part of it can be asked for later."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterator

from django.db.models import BinaryField, F, Func, IntegerField
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


def etag_of(export: Export, *, compressed: bool) -> str:
    """Return the ETag of what `read` yields."""
    return f'"{export.sha256}-gzip"' if compressed else f'"{export.sha256}"'


def read(export: Export, *, compressed: bool) -> Iterator[bytes]:
    """Yield the file, compressed as stored or unpacked.

    Raises ExportChunk.DoesNotExist if a chunk has been erased, so that a cut file never looks complete.
    """
    number, left = 0, export.stored_bytes
    while left > 0:
        body = _chunk(export, number)
        number, left = number + 1, left - len(body)
        yield body if compressed else gzip.decompress(body)


def read_part(export: Export, part: range, *, compressed: bool) -> Iterator[bytes]:
    """Yield this part of the file. Raises ExportChunk.DoesNotExist as `read` does."""
    start = 0
    for number, size in enumerate(_sizes(export, compressed=compressed)):
        if start < part.stop and start + size > part.start:
            body = _chunk(export, number)
            body = body if compressed else gzip.decompress(body)
            yield body[max(0, part.start - start) : part.stop - start]
        start += size
    if start < part.stop:
        raise ExportChunk.DoesNotExist


def _sizes(export: Export, *, compressed: bool) -> list[int]:
    """Return the size of each chunk. A member of a gzip file ends with the size of its content (RFC 1952)."""
    stored = Func(F("body"), function="octet_length", output_field=IntegerField())
    end = Func(F("body"), stored - 3, function="substr", output_field=BinaryField())
    rows = export.chunks.order_by("number").values_list(stored if compressed else end, flat=True)
    return list(rows) if compressed else [int.from_bytes(bytes(row), "little") for row in rows]


def _chunk(export: Export, number: int) -> bytes:
    return bytes(ExportChunk.objects.values_list("body", flat=True).get(export_id=export.pk, number=number))


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
