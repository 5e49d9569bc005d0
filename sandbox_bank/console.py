"""What the bank says of itself, a line at a time."""

from __future__ import annotations

import contextlib


def log(line: str) -> None:
    """Print the line. Nobody may be listening any more, or the disk be full: that is no reason to pay nobody."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)
