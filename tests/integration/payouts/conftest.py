from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings

from accounts import services as accounts_services
from accounts.models import Merchant, MerchantAPIKey, Mode
from payouts.models import Payout
from payouts.providers import registry
from tests.support.doorbell import Doorbell, forget_connections
from tests.support.fake_provider import FakeProvider


@pytest.fixture(autouse=True)
def _middling_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The back-off is a random part of a delay; a part that is nearly nothing would make a payout due at once."""
    monkeypatch.setattr(random, "random", lambda: 0.5)


@pytest.fixture
def live_key(acme: Merchant) -> MerchantAPIKey:
    return accounts_services.issue_api_key(acme, name="live", mode=Mode.LIVE)[0]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch, settings: Any) -> FakeProvider:
    """The provider of live payouts."""
    fake = FakeProvider()
    monkeypatch.setitem(registry.PROVIDERS, fake.name, fake)
    settings.LIVE_PROVIDER = fake.name
    return fake


@pytest.fixture
def make_live_payout(
    provider: FakeProvider, live_key: MerchantAPIKey, make_payout: Callable[..., Payout]
) -> Callable[..., Payout]:
    """Make a payout of acme that goes to the fake provider."""

    def make(**fields: Any) -> Payout:
        return make_payout(api_key=live_key, **fields)

    return make


@pytest.fixture
def make_globex_payout(
    globex: Merchant, provider: FakeProvider, make_payout: Callable[..., Payout]
) -> Callable[..., Payout]:
    """Make a live payout of globex."""
    key = accounts_services.issue_api_key(globex, name="live", mode=Mode.LIVE)[0]
    return lambda **fields: make_payout(api_key=key, **fields)


@pytest.fixture
def live_payout(make_live_payout: Callable[..., Payout]) -> Payout:
    return make_live_payout()


@pytest.fixture
def doorbell() -> Doorbell:
    return Doorbell(redis.Redis.from_url(django_settings.CELERY_BROKER_URL))


@pytest.fixture
def point_broker_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Point Celery to another broker, as CELERY_BROKER_URL does at start."""

    def point(url: str) -> None:
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        forget_connections()

    yield point
    monkeypatch.undo()
    forget_connections()


@pytest.fixture
def dead_broker(point_broker_to: Callable[[str], None]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    point_broker_to(f"redis://127.0.0.1:{port}/0")


@pytest.fixture
def silent_broker(point_broker_to: Callable[[str], None]) -> Iterator[None]:
    """It accepts connections and never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        point_broker_to(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        yield
