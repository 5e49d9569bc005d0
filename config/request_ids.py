"""The id of a request: the caller's where it is well-formed, else a new one. Known before Django is set up."""

from __future__ import annotations

import re

from uuid_utils.compat import uuid7

# What a caller may send as its own request id: it ends in our logs and headers, so nothing that could break either.
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def choose(offered: str) -> str:
    """Return the id of a request whose X-Request-Id says this."""
    return offered if REQUEST_ID.fullmatch(offered) else str(uuid7())
