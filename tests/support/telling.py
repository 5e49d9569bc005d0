"""What the fake provider tells us by itself, as the web process stores it and a worker applies it."""

from __future__ import annotations

import uuid

from payouts.engine import inbox
from payouts.models import ProviderCallback
from tests.support import fake_provider


def store(reference: object, kind: str, *, event_id: str | None = None, **told: str | bool) -> int | None:
    """Have the provider tell of a reference; the rest is that of fake_provider.callback_body."""
    headers = fake_provider.callback_headers(event_id or str(uuid.uuid4()))
    return inbox.store("fake", headers=headers, body=fake_provider.callback_body(str(reference), kind, **told))  # type: ignore[arg-type]


def tell(reference: object, kind: str, *, event_id: str | None = None, **told: str | bool) -> ProviderCallback:
    """Have the provider tell, apply it, and return the callback as it is then."""
    callback_id = store(reference, kind, event_id=event_id, **told)
    assert callback_id is not None, "It was applied before."
    inbox.apply(callback_id)
    return ProviderCallback.objects.get(pk=callback_id)
