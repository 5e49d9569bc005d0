"""An export over HTTP: the headers of the file, and whether to compress it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.http import StreamingHttpResponse

from payouts.exports import formats

#: A weight (RFC 9110, section 12.4.2). Zero means "not acceptable".
QUALITY: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


def accepts_gzip(header: str) -> bool:
    """Return whether Accept-Encoding names gzip. An asterisk accepts any coding, but does not ask for gzip."""
    for part in header.lower().split(","):
        coding, *parameters = "".join(part.split()).split(";")
        if coding in {"gzip", "x-gzip"}:
            weights = [QUALITY.fullmatch(parameter) for parameter in parameters]
            return all(weight is not None and float(weight[1]) > 0 for weight in weights)
    return False


def file_response(
    body: Iterable[bytes], *, file_format: str, mode: str, made_at: datetime, compressed: bool
) -> StreamingHttpResponse:
    """Return a response with the file as its body. A proxy may buffer it, as it does by default."""
    writer = formats.FORMATS[file_format]
    response = StreamingHttpResponse(body, content_type=writer.content_type)
    name = f"payouts-{mode}-{made_at:%Y%m%d-%H%M%S}.{writer.extension}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept-Encoding"
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def as_stream(response: StreamingHttpResponse) -> StreamingHttpResponse:
    """Have a proxy hand on each part at once. Otherwise it would store what a slow client has not read, which for a
    file that is still being made may be any size.
    """
    response.headers["X-Accel-Buffering"] = "no"
    return response
