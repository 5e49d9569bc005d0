"""A first try with .env.example is let in; an installation that others use is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from config import env

EXAMPLE = (Path(__file__).resolve().parents[3] / ".env.example").read_text(encoding="utf-8")


def test_the_passwords_of_the_example_are_known() -> None:
    passwords = re.findall(r"^(\w*PASSWORD)=(.+)$", EXAMPLE, re.MULTILINE)

    assert [name for name, _ in passwords] == ["POSTGRES_PASSWORD", "REDIS_PASSWORD"]
    for name, password in passwords:
        with pytest.raises(env.SettingError, match=f"^{name} is the one of .env.example"):
            env.refuse_known(name, password)


def test_the_example_is_not_behind_https() -> None:
    """Its passwords are refused otherwise."""
    assert re.search(r"^PAYOUTS_BEHIND_HTTPS=false$", EXAMPLE, re.MULTILINE)
