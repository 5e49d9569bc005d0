"""For how long a payout may stay as it is. The sweeper gives up by these clocks, and the alarms tell by them.

A provider that this installation does not have promises nothing. Its payouts get the defaults of retries.py.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models.functions import Now

from payouts.engine import retries
from payouts.models import Payout, PayoutQuerySet, PayoutTransition
from payouts.providers import registry
from payouts.states import PayoutStatus


def unknown() -> PayoutQuerySet:
    """Select the unknown payouts. The query uses the partial index `payout_unknown`."""
    return Payout.objects.filter(status=PayoutStatus.UNKNOWN)


def overdue_submitted() -> PayoutQuerySet:
    """Select the submitted payouts whose provider should have named the outcome by now.

    The query uses the partial index `payout_submitted`: a payout was sent before it was accepted.
    """
    settle_seconds = {name: provider.capabilities.settle_time_seconds for name, provider in registry.PROVIDERS.items()}
    late = missing_provider() & _submitted_since(retries.SUBMITTED_GIVE_UP_SECONDS)
    for name, seconds in settle_seconds.items():
        late |= models.Q(provider=name) & _submitted_since(seconds)
    return Payout.objects.filter(late, status=PayoutStatus.SUBMITTED)


def has_provider(name: str) -> bool:
    """Tell whether this installation has the provider."""
    return name in registry.PROVIDERS


def missing_provider() -> models.Q:
    """Select the payouts whose provider this installation does not have."""
    return ~models.Q(provider__in=list(registry.PROVIDERS))


def _submitted_since(seconds: float) -> models.Q:
    return models.Q(first_sent_at__lte=Now() - timedelta(seconds=seconds)) & entered_before(
        PayoutStatus.SUBMITTED, seconds=seconds
    )


def entered_before(status: PayoutStatus, *, seconds: float) -> models.Q:
    """Select the payouts that last got this status longer ago than that."""
    entered = PayoutTransition.objects.filter(payout=models.OuterRef("pk"), to_status=status)
    return ~models.Q(models.Exists(entered.filter(created_at__gt=Now() - timedelta(seconds=seconds))))
