"""What makes two requests the same: method, path and body, whatever the order of its fields. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# Part of each fingerprint. A change of the rules below needs a new version, and the old one kept for old records.
VERSION = "v1"


def of_request(*, method: str, path: str, body: Any) -> str:
    """Return the fingerprint: equal for equal requests, and different for different ones."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    # A line feed cannot stand in a method or a path, so the three parts cannot run into one another.
    digest = hashlib.sha256(f"{VERSION}\n{method}\n{path}\n{canonical}".encode("ascii", "backslashreplace"))
    return f"{VERSION}:{digest.hexdigest()}"
