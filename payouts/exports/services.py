"""What a merchant may ask for its exports."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction

from accounts.callers import Caller
from payouts import dispatch, services
from payouts.exports import lifecycle, streams
from payouts.exports.lifecycle import ExportSpec
from payouts.filters.selection import Selection
from payouts.models import Export


def stream(
    spec: ExportSpec,
    selection: Selection,
    *,
    api_key: Caller,
    compressed: bool,
    limits: streams.Limits = streams.LIMITS,
) -> tuple[Export, Iterator[bytes]]:
    """Start to stream the selection, and return the export with its bytes.

    Raises TooManyExports or ExportTooLarge.
    """
    export = lifecycle.create_stream(spec, api_key=api_key, actor=services.actor_of(api_key))
    payouts = selection.in_order(spec.ordering)
    return export, streams.stream(export, payouts, compressed=compressed, limits=limits)


def create_job(spec: ExportSpec, *, api_key: Caller) -> tuple[Export, bool]:
    """Create a background export, and enqueue it after the commit. Or return the same one that there is, and False.

    Raises TooManyExports or ExportStorageFull.
    """
    with transaction.atomic():
        export, is_new = lifecycle.create_job(spec, api_key=api_key, actor=services.actor_of(api_key))
        if is_new:
            # Robust: a failure here would answer 500 for a committed export.
            transaction.on_commit(lambda: dispatch.enqueue_export(export.pk), robust=True)
    return export, is_new
