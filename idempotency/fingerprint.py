"""Two requests are the same if method, path and body are equal. The order of fields does not matter. Pure.

A fingerprint is kept forever and names the version of its rules. New rules get a new version beside the old ones.
They take two releases, so that processes of both can run side by side: the first release reads the new version
(`_RULES`), the second writes it (`VERSION`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Request:
    """A request. The body is parsed JSON, and not validated."""

    method: str
    path: str
    body: Any


class VersionUnknown(Exception):
    """A newer version of the platform made this fingerprint."""


def of_request(request: Request) -> str:
    """Return the fingerprint: equal for equal requests, and different for different ones."""
    return f"{VERSION}:{_RULES[VERSION](request)}"


def belongs_to(request: Request, fingerprint: str) -> bool:
    """Tell whether this is the fingerprint of an equal request, by the rules of the version that made it.

    Raises VersionUnknown if this release does not know the version: the answer is unknown then.
    """
    version, _, digest = fingerprint.partition(":")
    if version not in _RULES:
        raise VersionUnknown(version)
    return digest == _RULES[version](request)


def _v1(request: Request) -> str:
    canonical = json.dumps(request.body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    # The method and ASCII JSON have no line feed, so the parts stay separate for any path.
    text = f"v1\n{request.method}\n{request.path}\n{canonical}"
    return hashlib.sha256(text.encode("ascii", "backslashreplace")).hexdigest()


_RULES: Final[dict[str, Callable[[Request], str]]] = {"v1": _v1}
#: The rules for new keys.
VERSION: Final = "v1"
