"""What merchants and holders of links may occupy a web process with, so that a POST always finds a thread.

Files have a quarter of the threads and reports have half, so that a quarter is left for all else (docs/adr/0030).
"""

from __future__ import annotations

import uuid
from typing import Final

from accounts.callers import Caller
from payouts import errors
from rest import places
from rest.places import Place, Places

#: Two, so that one slow answer does not stop a merchant, and a second merchant finds a place.
_EACH: Final = 2

FILES: Final = Places(divisor=4, each=_EACH)
REPORTS: Final = Places(divisor=2, each=_EACH)


def of_download(export_id: uuid.UUID) -> Place:
    """Take a place for the file of this export. Raises TooManyDownloads or FilesBusy."""
    try:
        return FILES.take(export_id)
    except places.OwnersTaken as error:
        raise errors.TooManyDownloads from error
    except places.AllTaken as error:
        raise errors.FilesBusy from error


def of_stream() -> Place:
    """Take a place for a file that is sent while it is made. Raises FilesBusy.

    The database counts the streams of a merchant, in all processes (payouts/exports/lifecycle.py).
    """
    try:
        return FILES.take(object())
    except places.AllTaken as error:
        raise errors.FilesBusy from error


def of_report(api_key: Caller) -> Place:
    """Take a place for reading many payouts. Raises TooManyReports."""
    try:
        return REPORTS.take(api_key.merchant_id)
    except (places.OwnersTaken, places.AllTaken) as error:
        raise errors.TooManyReports from error
