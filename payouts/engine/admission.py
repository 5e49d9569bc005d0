"""Decides if a call of a payout's provider may begin: pauses, the provider's circuit, and its capacity.

A payout that may not be called for stays pending and due, and shows the reason.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from django.db import OperationalError, connection, models, transaction
from django.db.models.functions import Now
from django.utils import timezone

from payouts.engine import circuits
from payouts.models import Pause, Payout
from payouts.providers import registry
from payouts.states import PayoutStatus
from postgres.errors import is_locked

# The first halves of the numbers of our advisory locks. They keep our locks apart from all others.
_PAUSE_LOCK: Final = 0x5041594F
_CAPACITY_LOCK: Final = 0x50415950


class WaitingReason(models.TextChoices):
    """Why a payout that is to be sent, or sent again, is not on its way."""

    #: An operator has paused everything.
    PAYOUTS_PAUSED = "payouts_paused", "All payouts are paused"
    #: An operator has paused its merchant.
    MERCHANT_PAUSED = "merchant_paused", "The merchant is paused"
    #: An operator has paused its provider.
    PROVIDER_PAUSED = "provider_paused", "The provider is paused"
    #: Its provider contradicts what we know; an operator has to look.
    UNDER_REVIEW = "under_review", "An operator has to look at it"
    #: The provider is in trouble; the payout is retried automatically.
    PROVIDER_UNAVAILABLE = "provider_unavailable", "The provider is unavailable"
    #: This installation does not have the provider, or no longer has it.
    PROVIDER_MISSING = "provider_missing", "The provider is not configured"


def has_provider() -> models.Q:
    """Select the payouts whose provider this version has.

    During a rollout, an old worker may get a payout whose provider it lacks. The worker leaves the payout alone: a
    claim would make "may have been sent" of a payout that it cannot send.
    """
    return models.Q(provider__in=list(registry.PROVIDERS))


def is_paused() -> models.Exists:
    """Select the paused payouts. Use it in the claiming statement, after `lock_pauses_shared`."""
    return models.Exists(Pause.objects.active().covering(models.OuterRef("merchant"), models.OuterRef("provider")))


def is_held() -> models.Q:
    """Select the pending payouts that may not be sent: paused, under review, or at a provider in trouble."""
    troubled = models.Q(provider__in=circuits.open_now().values("provider"))
    reviewed = models.Q(contradicted_at__isnull=False)
    return models.Q(status=PayoutStatus.PENDING) & (models.Q(is_paused()) | reviewed | troubled)


def lock_pauses_shared() -> None:
    """Take the shared pause lock: a new pause waits for this transaction (`lock_pauses`), and the next statement sees
    every committed pause.
    """
    _execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", _PAUSE_LOCK)


def lock_pauses(*, timeout_seconds: int) -> bool:
    """Take the pause lock, which waits for all claims that cannot see the pause. Return False after the timeout.

    A claim takes milliseconds. A pause is an emergency brake, so it does not wait for a stuck claim.
    """
    try:
        with transaction.atomic():
            _execute("SELECT set_config('lock_timeout', %s, true)", f"{timeout_seconds}s")
            _execute("SELECT pg_advisory_xact_lock(%s, 0)", _PAUSE_LOCK)
    except OperationalError as error:
        if is_locked(error):
            return False
        raise
    return True


def has_capacity(provider: str) -> bool:
    """Tell whether the provider takes one more call. True holds until the end of the caller's transaction.

    Calls are counted by their leases. A dead worker frees its place when its lease ends. A callback that overtakes the
    answer to its call frees the place a moment early. The lock makes callers count one after the other: two at the same
    time would both find the last place free.
    """
    concurrency_max = registry.get(provider).capabilities.concurrency_max
    if concurrency_max is None:
        return True
    _execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", _CAPACITY_LOCK, provider)
    under_way = Payout.objects.filter(provider=provider, lease_expires_at__gt=Now())
    return under_way.count() < concurrency_max


def _execute(sql: str, *parameters: int | str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def mark_waiting(payout_id: uuid.UUID) -> None:
    """Mark a payout whose call could not begin. Its turn comes when another call has ended."""
    Payout.objects.due().filter(pk=payout_id, turned_away_at__isnull=True).update(turned_away_at=Now())


def take_next_waiting(provider: str) -> uuid.UUID | None:
    """Return the payout that has waited longest at this provider, or None. The caller enqueues it."""
    waiting = Payout.objects.due().filter(provider=provider, turned_away_at__isnull=False).exclude(is_held())
    with transaction.atomic(durable=True):
        oldest = waiting.order_by("due_at").select_for_update(skip_locked=True)
        payout_id = oldest.values_list("pk", flat=True).first()
        if payout_id is not None:
            Payout.objects.filter(pk=payout_id).update(turned_away_at=None, rung_at=Now())
    return payout_id


def keep_waiting(payout_id: uuid.UUID) -> None:
    """Let a payout of `take_next_waiting` wait on, because it could not be enqueued."""
    Payout.objects.due().filter(pk=payout_id).update(turned_away_at=Now(), rung_at=None)


def providers_at_capacity() -> list[str]:
    """Return the providers at which payouts wait for capacity."""
    waiting = Payout.objects.filter(turned_away_at__isnull=False)
    return list(waiting.order_by("provider").values_list("provider", flat=True).distinct())


class Waiting(Protocol):
    """The fields of a payout that decide what it waits for."""

    @property
    def status(self) -> str: ...
    @property
    def merchant_id(self) -> uuid.UUID: ...
    @property
    def provider(self) -> str: ...
    @property
    def due_at(self) -> datetime | None: ...
    @property
    def contradicted_at(self) -> datetime | str | None: ...


@dataclass(frozen=True)
class Holds:
    """All current holds, read once for the payouts that are shown together."""

    everything: bool
    merchants: frozenset[uuid.UUID]
    providers: frozenset[str]
    troubled: frozenset[str]

    @classmethod
    def read(cls) -> Holds:
        """Read the current pauses and circuits."""
        pauses = list(Pause.objects.active())
        return cls(
            everything=any(pause.merchant_id is None and not pause.provider for pause in pauses),
            merchants=frozenset(pause.merchant_id for pause in pauses if pause.merchant_id is not None),
            providers=frozenset(pause.provider for pause in pauses if pause.provider),
            troubled=frozenset(circuits.open_now().values_list("provider", flat=True)),
        )

    def reason_for(self, payout: Waiting) -> WaitingReason | None:
        """Return why this pending or unknown payout is not sent, or None if it only waits for its turn."""
        reasons = {
            WaitingReason.PAYOUTS_PAUSED: self.everything,
            WaitingReason.MERCHANT_PAUSED: payout.merchant_id in self.merchants,
            WaitingReason.PROVIDER_PAUSED: payout.provider in self.providers,
            WaitingReason.UNDER_REVIEW: payout.contradicted_at is not None,
            WaitingReason.PROVIDER_MISSING: payout.provider not in registry.PROVIDERS,
            WaitingReason.PROVIDER_UNAVAILABLE: payout.provider in self.troubled or _is_backing_off(payout),
        }
        return next((reason for reason, holds in reasons.items() if holds), None)


def _is_backing_off(payout: Waiting) -> bool:
    """Tell whether a failed attempt delays this payout: only an attempt that was not sent sets a later due_at.

    The answer is for people to read, so this machine's clock is exact enough.
    """
    return payout.status == PayoutStatus.PENDING and payout.due_at is not None and payout.due_at > timezone.now()
