"""Walks through the pages of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.test import Client

from payouts.models import Payout

MakePayout = Callable[..., Payout]


def pages(client: Client, url: str, *, link: str = "next") -> Iterator[dict[str, Any]]:
    """Yield the page at the URL and each one that follows, by the link of that name."""
    following: str | None = url
    while following:
        response = client.get(following)
        assert response.status_code == 200, response.content
        yield response.json()
        following = response.json()[link]
