"""Checks of a body's headers: it must be JSON in UTF-8, not compressed. Other bodies are refused."""

from __future__ import annotations

from typing import Final

from django.utils.http import parse_header_parameters
from rest_framework.request import Request

from rest import refusals

MEDIA_TYPE: Final = "application/json"
#: Names of UTF-8, and of ASCII, which is a part of it.
CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
#: No coding at all; an empty header or list element says the same.
PLAIN: Final = frozenset({"identity", ""})


def require_json(request: Request) -> None:
    """Raise MediaTypeUnsupported unless the Content-Type is JSON, in UTF-8 if it names a charset."""
    header = str(request.META.get("CONTENT_TYPE", ""))
    try:
        media_type, parameters = parse_header_parameters(header)
    except ValueError as error:
        raise refusals.MediaTypeUnsupported from error
    # Two headers arrive joined by a comma.
    if media_type != MEDIA_TYPE or "," in header or parameters.get("charset", "utf-8").lower() not in CHARSETS:
        raise refusals.MediaTypeUnsupported


def require_plain(request: Request) -> None:
    """Raise ContentEncodingUnsupported if the body is compressed, or encoded in another way."""
    codings = {coding.strip().lower() for coding in request.headers.get("Content-Encoding", "").split(",")}
    if codings - PLAIN:
        raise refusals.ContentEncodingUnsupported
