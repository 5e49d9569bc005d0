"""The text form of values, in responses and in files."""

from __future__ import annotations


def format_time(text: str) -> str:
    """Return `2026-11-23 12:00:00.25+00` as RFC 3339, with six decimals of the second or none."""
    clock = text[11:-3]
    return f"{text[:10]}T{clock:0<15}Z" if len(clock) > 8 else f"{text[:10]}T{clock}Z"
