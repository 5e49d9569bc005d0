"""Pause and resume sending: for one merchant, through one provider, or at all.

A pause holds back payouts that are not claimed. Calls under way finish, and asking goes on: it moves no money.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from django.db import IntegrityError, OperationalError, models, transaction
from django.db.models.functions import Now

from accounts.models import Merchant
from payouts import attempts, errors
from payouts.engine import admission, leases
from payouts.models import Pause, Payout
from payouts.providers import registry
from payouts.states import PayoutStatus
from postgres.errors import is_locked, timed_out, violates

logger = logging.getLogger(__name__)

# A claim takes milliseconds. A slower one is stuck, and must not keep the sending going.
_CLAIMS_SECONDS: Final = 5


@dataclass(frozen=True)
class Scope:
    """What is paused: a merchant, a provider, or (both empty) everything."""

    merchant: Merchant | None = None
    provider: str = ""

    def __str__(self) -> str:
        if self.merchant is not None:
            return f"merchant {self.merchant.name}"
        return f"provider {self.provider}" if self.provider else "everything"


def pause(scope: Scope, *, actor: str, reason: str) -> Pause:
    """Begin a pause. After the commit, no payout of the scope is claimed for sending.

    One exception: a claim that was already stuck in its transaction for 5 s. Then an error is logged.

    Raises ReasonMissing, ReasonUnusable, ProviderNotFound, PausedAlready if this scope is paused, and PauseNotBegun if
    the table of pauses is locked.
    """
    reason = attempts.clean_reason(reason)
    if scope.provider and scope.provider not in registry.PROVIDERS:
        raise errors.ProviderNotFound
    try:
        with transaction.atomic():
            if not admission.lock_pauses(timeout_seconds=_CLAIMS_SECONDS):
                logger.error("pause.begun.during_claims", extra={"scope": str(scope), "actor": actor})
            begun = Pause.objects.create(merchant=scope.merchant, provider=scope.provider, actor=actor, reason=reason)
    except IntegrityError as error:
        if violates(error, "pause_once_at_a_time"):
            raise errors.PausedAlready from error
        raise
    except OperationalError as error:
        if is_locked(error) or timed_out(error):
            raise errors.PauseNotBegun from error
        raise
    transaction.on_commit(lambda: logger.warning("pause.begun", extra={"scope": begun.scope, "actor": actor}))
    return begun


def providers() -> list[str]:
    """Return the names of the providers that can be paused."""
    return sorted(registry.PROVIDERS)


def resume(scope: Scope, *, actor: str) -> None:
    """End the pause of exactly this scope. The held payouts are due, and the sweeper enqueues them.

    Raises NotPaused. A pause of another scope still holds the payouts that it covers.
    """
    active = Pause.objects.active().filter(merchant=scope.merchant, provider=scope.provider)
    if not active.update(ended_at=Now(), ended_by=actor):
        raise errors.NotPaused
    transaction.on_commit(lambda: logger.warning("pause.ended", extra={"scope": str(scope), "actor": actor}))


def is_drained(scope: Scope) -> bool:
    """Tell whether no worker is sending a payout of the scope. During a pause this stays true."""
    covers = models.Q(provider=scope.provider) if scope.provider else models.Q()
    if scope.merchant is not None:
        covers &= models.Q(merchant=scope.merchant)
    in_hand = Payout.objects.filter(covers, leases.held(), status=PayoutStatus.PROCESSING)
    return not in_hand.exists()
