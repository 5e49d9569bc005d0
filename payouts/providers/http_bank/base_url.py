"""The base URL of a bank. Pure."""

from __future__ import annotations

import re

import httpx

#: No user, query or fragment, and no part that a request would spell differently: the path is signed byte by byte.
_URL = re.compile(r"https?://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%-]+)*/?")
_DOT_SEGMENT = re.compile(r"/\.{1,2}(/|$)")
_PORTS = range(1, 65536)


def read_base_url(url: str) -> str:
    """Return the URL without a final slash. Raises ValueError, which does not repeat the URL."""
    if not _URL.fullmatch(url) or _DOT_SEGMENT.search(url):
        raise ValueError("not a plain http or https address")
    try:
        read = httpx.URL(url)
    except httpx.InvalidURL:
        raise ValueError("not an address that there could be") from None
    is_named = all(1 <= len(label) <= 63 for label in read.host.split("."))
    if not is_named or (read.port is not None and read.port not in _PORTS):
        raise ValueError("not an address that there could be")
    return url.removesuffix("/")
