from __future__ import annotations

import hmac
import uuid
from typing import Any

import pytest

from payouts import errors
from payouts.exports import links

EXPORT_ID = uuid.UUID("01936f40-1c4a-7d2b-9e1f-3a5b6c7d8e9f")


def test_a_token_is_taken() -> None:
    links.check(EXPORT_ID, links.token_of(EXPORT_ID))


@pytest.mark.parametrize(
    "token", ["", "1", "1tEXAm:" + "a" * 42, "1tEXAm:" + "a" * 44, "1:2:" + "a" * 43, "a" * 8000, "\u0661:" + "a" * 43]
)
def test_what_is_no_token_is_not_hashed(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    hashed: list[Any] = []
    monkeypatch.setattr(hmac, "new", lambda *given, **_: hashed.append(given))

    with pytest.raises(errors.DownloadLinkInvalid):
        links.check(EXPORT_ID, token)

    assert hashed == []
