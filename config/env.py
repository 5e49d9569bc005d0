"""Strict readers of the environment.

A setting is right, or the process does not start: every refusal is one sentence that names the variable and says
what to write. Each variable may also be given as NAME_FILE, the path of a file that holds the value (Docker and
Kubernetes secrets).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

# URLs of these name something inside the process, so `memory://` is whole.
_PLACELESS_SCHEMES = ("memory", "rpc", "cache+memory")

_DIGITS = re.compile(r"[0-9]{1,18}")

# A name or an IPv4 address, an IPv6 address, or the directory of a Unix socket. Not several with commas, which libpq
# would try in turn, nor an address with a port.
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|/[^\s,]+")


# What .env.example has for a first try: anyone can read it.
_PUBLISHED = "for-a-first-try-only"


class SettingError(ImproperlyConfigured):
    """A setting is missing or malformed; the message names it."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")


def text(name: str, default: str = "") -> str:
    """Return the value of the variable, or of the file that NAME_FILE points to, or the default."""
    file_name = os.environ.get(f"{name}_FILE")
    if not file_name:
        return os.environ.get(name, "").strip() or default
    if os.environ.get(name):
        raise SettingError(name, f"and {name}_FILE are both set: keep one of them.")
    try:
        return Path(file_name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{name}_FILE", f"points to {file_name}, which cannot be read: {error}.") from error


def boolean(name: str, *, default: bool) -> bool:
    """Return True for 'true' or '1', False for 'false' or '0'; anything else is refused."""
    value = text(name).lower()
    if value in {"", "true", "1", "false", "0"}:
        return default if value == "" else value in {"true", "1"}
    raise SettingError(name, f"must be true or false, not {value!r}.")


def integer(name: str, *, default: int, minimum: int, maximum: int) -> int:
    """Return a whole number between minimum and maximum, both included."""
    value = text(name, str(default))
    # Python itself refuses to read a number of thousands of digits.
    if not _DIGITS.fullmatch(value) or not minimum <= int(value) <= maximum:
        raise SettingError(name, f"must be a whole number from {minimum} to {maximum}, not {value!r}.")
    return int(value)


def choice(name: str, *, default: str, choices: tuple[str, ...]) -> str:
    """Return one of the choices."""
    value = text(name, default)
    if value not in choices:
        raise SettingError(name, f"must be one of {', '.join(map(repr, choices))}, not {value!r}.")
    return value


def items(name: str, default: str = "") -> list[str]:
    """Return the parts of a comma-separated list, without blanks."""
    return [item.strip() for item in text(name, default).split(",") if item.strip()]


def host(name: str) -> str:
    """Return where a database listens, or nothing where the variable is not set."""
    value = text(name)
    if value and not _HOST.fullmatch(value):
        raise SettingError(
            name, f"must be one host name, address or directory of a Unix socket, without a port, not {value!r}."
        )
    return value


def url(name: str, *, default: str, schemes: tuple[str, ...]) -> str:
    """Return a URL of one of the schemes. Never repeats the value in the refusal: it may carry a password."""
    value = text(name, default)
    try:
        parts = urlsplit(value)
        has_place = parts.scheme in _PLACELESS_SCHEMES or bool(parts.netloc or parts.path.strip("/"))
        well_formed = parts.scheme in schemes and has_place
        _ = parts.port
    except ValueError:
        well_formed = False
    if value and not well_formed:
        example = f"{schemes[0]}://:password@host:6379/0"
        raise SettingError(name, f"is not a URL of the kind {'://, '.join(schemes)}://; write it like {example}.")
    return value


def refuse_known(name: str, value: str) -> None:
    """Refuse the password of the example, also as a part of a URL. Never repeats the value."""
    if _PUBLISHED in value:
        raise SettingError(name, "is the one of .env.example, which anyone can read: choose a random one.")


def refuse_short(name: str, value: str, *, length_min: int) -> None:
    """Refuse a secret that can be guessed by trying. An empty one is for the caller to judge."""
    if 0 < len(value) < length_min:
        raise SettingError(name, f"is so short that it can be guessed: give it {length_min} or more characters.")
