"""Decides if a call of a payout's provider may begin: pauses, the provider's circuit, and its capacity.

A payout that may not be called for stays pending and due, and shows the reason.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from django.db import OperationalError, connection, models, transaction
from django.utils import timezone

from payouts.engine import circuits
from payouts.engine.lanes import Group
from payouts.models import Pause
from payouts.providers import registry
from payouts.states import AttemptKind, PayoutStatus
from postgres.errors import is_locked

# The first halves of the numbers of our advisory locks. They keep our locks apart from all others.
_PAUSE_LOCK: Final = 0x5041594F
_CAPACITY_LOCK: Final = 0x50415950
_PAUSES_SHARED: Final = f"pg_advisory_xact_lock_shared({_PAUSE_LOCK}, 0)"


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
    _execute(f"SELECT {_PAUSES_SHARED}")


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


def enter(group: Group) -> circuits.State:
    """Take the locks under which payouts of this group are claimed, and return the state of the provider's circuit.

    The locks are held until the end of the caller's transaction. The shared pause lock is for sends alone. The
    provider's lock makes callers count the calls under way one after the other: two at the same time would both find
    the last place free.
    """
    capabilities = registry.get(group.provider).capabilities
    is_send = group.kind == AttemptKind.SEND
    locks: list[str] = [_PAUSES_SHARED] if is_send else []
    if capabilities.concurrency_max is not None:
        locks.append(f"pg_advisory_xact_lock({_CAPACITY_LOCK}, hashtext(%(provider)s))")
    judges = is_send and capabilities.fails_as_a_whole
    columns = [*locks, *([circuits.STATE] if judges else [])]
    if not columns:
        return circuits.State.CLOSED
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)}", {"provider": group.provider})
        row = cursor.fetchone()
    return circuits.State(row[-1]) if judges else circuits.State.CLOSED


def _execute(sql: str, *parameters: int | str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


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
