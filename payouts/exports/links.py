"""Download links of exports. A link works without an API key for a quarter of an hour.

So a merchant can pass an export to the finance department, and a browser can fetch it. A link is a secret, and
short-lived because links end up in mails and histories.
"""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Final

from django.core import signing

from payouts import errors

#: Time to pass the link on and click it. A started download may take longer.
VALID_FOR: Final = timedelta(minutes=15)
_SALT: Final = "payouts.exports.download"
#: The form of a token. Other texts are refused before they are hashed once for each secret key.
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{1,10}:[0-9A-Za-z_-]{43}")


def token_of(export_id: uuid.UUID) -> str:
    """Return a token that allows the download of this export for VALID_FOR."""
    signed = signing.TimestampSigner(salt=_SALT).sign(str(export_id))
    return signed.removeprefix(f"{export_id}:")


def check(export_id: uuid.UUID, token: str) -> None:
    """Raise DownloadLinkExpired or DownloadLinkInvalid unless the token is for this export."""
    if not _TOKEN.fullmatch(token):
        raise errors.DownloadLinkInvalid
    try:
        signing.TimestampSigner(salt=_SALT).unsign(f"{export_id}:{token}", max_age=VALID_FOR)
    except signing.SignatureExpired as error:
        raise errors.DownloadLinkExpired from error
    except signing.BadSignature as error:
        raise errors.DownloadLinkInvalid from error
