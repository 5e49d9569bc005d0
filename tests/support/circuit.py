"""The circuit of the fake provider: failures, and the time of its next trial."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.db.models import F
from django.db.models.functions import Now

from payouts.engine import processing
from payouts.models import Payout, ProviderCircuit
from tests.support.fake_provider import Answer, FakeProvider

MakePayout = Callable[..., Payout]


def fail(provider: FakeProvider, make_live_payout: MakePayout, times: int, answer: Answer) -> list[Payout]:
    """Let so many payouts, one after the other, not get through."""
    provider.on_send(answer)
    payouts = [make_live_payout() for _ in range(times)]
    for payout in payouts:
        processing.process(payout.pk)
    return payouts


def retry_in_seconds() -> float:
    """Return in how many seconds the fake provider is tried again, by the database's clock; negative: since when."""
    circuit = ProviderCircuit.objects.annotate(retry_in=F("retry_at") - Now()).get(provider="fake")
    return float(circuit.retry_in.total_seconds())


def let_its_time_come() -> None:
    """Let the fake provider have been left alone for long enough."""
    ProviderCircuit.objects.filter(provider="fake").update(retry_at=Now() - timedelta(seconds=1))
