"""Links to download an export with: whoever has one needs no API key, for a quarter of an hour.

So an export can be handed to somebody in the finance department, and a browser can fetch it. A link is a secret, and
short-lived because links end in mails and histories.
"""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Final

from django.core import signing

from payouts import errors

#: Time to hand it on and to click it. A download that has begun may take longer.
VALID_FOR: Final = timedelta(minutes=15)
_SALT: Final = "payouts.exports.download"
#: What `token_of` returns. Nothing else is hashed, once for each secret key of the installation.
_TOKEN: Final = re.compile(r"[0-9A-Za-z]{1,10}:[0-9A-Za-z_-]{43}")


def token_of(export_id: uuid.UUID) -> str:
    """Return what proves, from now on for a while, that somebody may download this export."""
    signed = signing.TimestampSigner(salt=_SALT).sign(str(export_id))
    return signed.removeprefix(f"{export_id}:")


def check(export_id: uuid.UUID, token: str) -> None:
    """Raise DownloadLinkExpired or DownloadLinkInvalid unless the token is one of this export."""
    if not _TOKEN.fullmatch(token):
        raise errors.DownloadLinkInvalid
    try:
        signing.TimestampSigner(salt=_SALT).unsign(f"{export_id}:{token}", max_age=VALID_FOR)
    except signing.SignatureExpired as error:
        raise errors.DownloadLinkExpired from error
    except signing.BadSignature as error:
        raise errors.DownloadLinkInvalid from error
