"""Exports as tests make, read and age them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import uuid
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.db.models.functions import Now

from accounts.models import Merchant
from payouts.exports import lifecycle
from payouts.exports.lifecycle import ExportSpec
from payouts.models import Export, ExportChunk, Payout


def make_job(merchant: Merchant, **columns: Any) -> Export:
    """Make a job of the merchant that nobody has been rung for."""
    defaults = {"mode": "test", "kind": "job", "format": "csv", "ordering": "-created_at", "actor": "merchant:test"}
    return Export.objects.create(merchant=merchant, **{**defaults, **columns})


def spec(**fields: Any) -> ExportSpec:
    return ExportSpec(**{"format": "csv", "filters": {}, "ordering": "-created_at", **fields})


def claimed(export: Export) -> Export:
    """Claim it, as a worker does."""
    taken = lifecycle.claim(export.pk)
    assert taken is not None
    return taken


def run_out(export: Export) -> None:
    """Let the lease of the worker run out."""
    Export.objects.filter(pk=export.pk).update(lease_expires_at=Now() - timedelta(seconds=1))


def age(export: Export, *, seconds: float) -> None:
    """Let everything that happened to it have happened so many seconds earlier."""
    earlier = timedelta(seconds=seconds)
    Export.objects.filter(pk=export.pk).update(
        created_at=F("created_at") - earlier, rung_at=F("rung_at") - earlier, expires_at=F("expires_at") - earlier
    )


def unchanged(payout: Payout, *, seconds: float = 300.0) -> None:
    """Let the payout have changed last so many seconds ago."""
    Payout.objects.filter(pk=payout.pk).update(updated_at=Now() - timedelta(seconds=seconds))


def stored(export: Export) -> bytes:
    """Return the file that is stored, unpacked."""
    bodies = ExportChunk.objects.filter(export_id=export.pk).order_by("number").values_list("body", flat=True)
    return b"".join(gzip.decompress(bytes(body)) for body in bodies)


def leave(response: Any) -> None:
    """Go away before the end, as a client does whose connection breaks.

    What a server does then, but for the end of the request, which would close the test's connection to the database.
    """
    while response._resource_closers:
        response._resource_closers.pop(0)()


def csv_rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def ndjson_rows(data: bytes) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the payouts and the trailer. Lines are ended by LF alone: texts may have other characters that end one."""
    *lines, rest = data.decode().split("\n")
    *payouts, last = [json.loads(line) for line in lines]
    assert rest == ""
    assert last.keys() == {"trailer"}
    return payouts, last["trailer"]


def ids(data: bytes) -> list[uuid.UUID]:
    """Return the ids of the payouts in a CSV, in order."""
    return [uuid.UUID(row["id"]) for row in csv_rows(data)]
