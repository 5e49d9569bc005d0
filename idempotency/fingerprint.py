"""What makes two requests the same: method, path and body, whatever the order of its fields. Pure.

A fingerprint is kept for ever and names the version of the rules that made it. New rules are a new version beside the
old ones, and come in two releases, so that processes of both can run side by side: one that can read it (`_RULES`),
and a later one that writes it (`VERSION`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Request:
    """What was asked for. The body is parsed JSON, and has not been validated."""

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

    Raises VersionUnknown where nobody here knows them: then neither yes nor no would be true.
    """
    version, _, digest = fingerprint.partition(":")
    if version not in _RULES:
        raise VersionUnknown(version)
    return digest == _RULES[version](request)


def _v1(request: Request) -> str:
    canonical = json.dumps(request.body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    # JSON in ASCII and a method have no line feed, so the parts cannot run into one another whatever the path has.
    text = f"v1\n{request.method}\n{request.path}\n{canonical}"
    return hashlib.sha256(text.encode("ascii", "backslashreplace")).hexdigest()


_RULES: Final[dict[str, Callable[[Request], str]]] = {"v1": _v1}
#: The rules for new keys.
VERSION: Final = "v1"
