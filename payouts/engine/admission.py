"""May a call of this payout's provider begin now? Pauses, the provider's circuit, and the room that it has.

What may not begin stays as it is, pending and due, and the reason is shown on the payout while it lasts.
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

# The first halves of the numbers of advisory locks, so that no other use of them meets ours.
_PAUSE_LOCK: Final = 0x5041594F
_CAPACITY_LOCK: Final = 0x50415950


class WaitingReason(models.TextChoices):
    """Why a payout that is to be sent, or sent again, is not on its way."""

    #: An operator has paused everything, ...
    PAYOUTS_PAUSED = "payouts_paused", "All payouts are paused"
    #: ... its merchant, ...
    MERCHANT_PAUSED = "merchant_paused", "The merchant is paused"
    #: ... or its provider.
    PROVIDER_PAUSED = "provider_paused", "The provider is paused"
    #: Its provider has said something that contradicts what we know; an operator has to look.
    UNDER_REVIEW = "under_review", "An operator has to look at it"
    #: The provider does not let us through; tried again by itself.
    PROVIDER_UNAVAILABLE = "provider_unavailable", "The provider is unavailable"
    #: This installation has no such provider (any more).
    PROVIDER_MISSING = "provider_missing", "The provider is not configured"


def has_provider() -> models.Q:
    """Select the payouts whose provider this version has.

    While a new version is rolled out, an old worker may be rung for one that it lacks. It leaves the payout alone: to
    claim what it cannot send would make "may have been sent" of it.
    """
    return models.Q(provider__in=list(registry.PROVIDERS))


def is_paused() -> models.Exists:
    """Select the payouts that a pause holds back. In the statement that takes a payout, after `lock_pauses_shared`."""
    return models.Exists(Pause.objects.active().covering(models.OuterRef("merchant"), models.OuterRef("provider")))


def is_held() -> models.Q:
    """Select the payouts that wait to be sent and may not be: paused, under review, or at a provider in trouble."""
    troubled = models.Q(provider__in=circuits.open_now().values("provider"))
    reviewed = models.Q(contradicted_at__isnull=False)
    return models.Q(status=PayoutStatus.PENDING) & (models.Q(is_paused()) | reviewed | troubled)


def lock_pauses_shared() -> None:
    """Begin a claim, in its transaction: a pause that has begun is seen by the next statement, and one that begins now
    waits until the claim has committed (`lock_pauses`).
    """
    _execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", _PAUSE_LOCK)


def lock_pauses(*, timeout_seconds: int) -> bool:
    """Wait, in the pause's transaction, for the claims that do not see it, and tell whether all of them have ended.

    Claims take milliseconds. One that is stuck is not waited for: a pause is an emergency brake.
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

    Calls are counted by their leases, so a worker that died gives its place up when its lease does; and a callback that
    overtakes the answer to its own call frees the place a moment early. Callers take turns: of two who count at the
    same time, both would find the last place free.
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
    """Note that somebody came for this payout and could not begin: its turn is when another one has ended."""
    Payout.objects.due().filter(pk=payout_id, turned_away_at__isnull=True).update(turned_away_at=Now())


def take_next_waiting(provider: str) -> uuid.UUID | None:
    """Return the payout that has waited longest for room at this provider, for the caller to ring for, or None."""
    waiting = Payout.objects.due().filter(provider=provider, turned_away_at__isnull=False).exclude(is_held())
    with transaction.atomic(durable=True):
        oldest = waiting.order_by("due_at").select_for_update(skip_locked=True)
        payout_id = oldest.values_list("pk", flat=True).first()
        if payout_id is not None:
            Payout.objects.filter(pk=payout_id).update(turned_away_at=None, rung_at=Now())
    return payout_id


def keep_waiting(payout_id: uuid.UUID) -> None:
    """Let a payout wait on that was taken by `take_next_waiting`, and for which nobody could be rung."""
    Payout.objects.due().filter(pk=payout_id).update(turned_away_at=Now(), rung_at=None)


def providers_at_capacity() -> list[str]:
    """Return the providers at which payouts wait for room."""
    waiting = Payout.objects.filter(turned_away_at__isnull=False)
    return list(waiting.order_by("provider").values_list("provider", flat=True).distinct())


class Waiting(Protocol):
    """What has to be known of a payout, which need not be read whole, to tell what it waits for."""

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
    """What holds payouts back at the moment, read once for all that are shown together."""

    everything: bool
    merchants: frozenset[uuid.UUID]
    providers: frozenset[str]
    troubled: frozenset[str]

    @classmethod
    def read(cls) -> Holds:
        """Read the pauses and circuits of this moment."""
        pauses = list(Pause.objects.active())
        return cls(
            everything=any(pause.merchant_id is None and not pause.provider for pause in pauses),
            merchants=frozenset(pause.merchant_id for pause in pauses if pause.merchant_id is not None),
            providers=frozenset(pause.provider for pause in pauses if pause.provider),
            troubled=frozenset(circuits.open_now().values_list("provider", flat=True)),
        )

    def reason_for(self, payout: Waiting) -> WaitingReason | None:
        """Return why this payout, pending or unknown, is not sent; None where it only waits for its turn."""
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
    """An attempt that was not sent makes a pending payout due later; whatever else makes it pending, due at once.

    For people to look at, so this machine's clock will do.
    """
    return payout.status == PayoutStatus.PENDING and payout.due_at is not None and payout.due_at > timezone.now()
