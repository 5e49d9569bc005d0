"""Why a payout is not on its way: the answer for people. (What is held is decided in payouts/engine/admission.py.)

A payout that was just created has no reason yet, so the answer to its POST reads nothing of this.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import F, Value
from django.utils import timezone

from payouts.models import LaneCircuit, Pause, ProviderCircuit
from payouts.providers import registry
from payouts.states import PayoutStatus
from postgres.compiled import Compiled


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
    #: The merchant's own payouts fail at its provider, and those of others do not; they are retried automatically.
    MERCHANT_FAILING = "merchant_failing", "The merchant's payouts do not get through"
    #: The provider is in trouble; the payout is retried automatically.
    PROVIDER_UNAVAILABLE = "provider_unavailable", "The provider is unavailable"
    #: This installation does not have the provider, or no longer has it.
    PROVIDER_MISSING = "provider_missing", "The provider is not configured"


class Waiting(Protocol):
    """The fields of a payout that decide what it waits for."""

    @property
    def status(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def merchant_id(self) -> uuid.UUID: ...
    @property
    def provider(self) -> str: ...
    @property
    def due_at(self) -> datetime | None: ...
    @property
    def contradicted_at(self) -> datetime | str | None: ...


_NO_MERCHANT: Final = Value(None, output_field=models.UUIDField())
#: What a row of the statement is.
_PAUSE, _CIRCUIT, _LANE = "pause", "circuit", "lane"
_COLUMNS: Final = ("kind", "provider", "in_mode", "of_merchant")


def _all() -> models.QuerySet[Any, Any]:
    """Select the pauses and the open circuits, in one statement."""
    pauses = Pause.objects.active().annotate(kind=Value(_PAUSE), in_mode=Value(""), of_merchant=F("merchant_id"))
    circuits = ProviderCircuit.objects.open_now()
    circuits = circuits.annotate(kind=Value(_CIRCUIT), in_mode=Value(""), of_merchant=_NO_MERCHANT)
    lanes = LaneCircuit.objects.open_now()
    lanes = lanes.annotate(kind=Value(_LANE), in_mode=F("mode"), of_merchant=F("merchant_id"))
    first, *others = (rows.values_list(*_COLUMNS) for rows in (pauses, circuits, lanes))
    return first.union(*others, all=True)


_ALL: Final = Compiled(_all)


@dataclass(frozen=True)
class Holds:
    """All current holds, read once for the payouts that are shown together."""

    everything: bool
    merchants: frozenset[uuid.UUID]
    providers: frozenset[str]
    troubled: frozenset[str]
    #: Lanes with an open circuit of their own, as (provider, mode, merchant).
    lanes: frozenset[tuple[str, str, uuid.UUID]]

    @classmethod
    def read(cls) -> Holds:
        """Read the current pauses and circuits."""
        rows = _ALL.rows(DEFAULT_DB_ALIAS)
        pauses = [(provider, merchant_id) for kind, provider, _, merchant_id in rows if kind == _PAUSE]
        return cls(
            everything=("", None) in pauses,
            merchants=frozenset(merchant_id for _, merchant_id in pauses if merchant_id is not None),
            providers=frozenset(provider for provider, _ in pauses if provider),
            troubled=frozenset(provider for kind, provider, *_ in rows if kind == _CIRCUIT),
            lanes=frozenset((provider, mode, owner) for kind, provider, mode, owner in rows if kind == _LANE),
        )

    def reason_for(self, payout: Waiting) -> WaitingReason | None:
        """Return why this pending or unknown payout is not sent, or None if it only waits for its turn."""
        reasons = [
            (WaitingReason.PAYOUTS_PAUSED, self.everything),
            (WaitingReason.MERCHANT_PAUSED, payout.merchant_id in self.merchants),
            (WaitingReason.PROVIDER_PAUSED, payout.provider in self.providers),
            (WaitingReason.UNDER_REVIEW, payout.contradicted_at is not None),
            (WaitingReason.PROVIDER_MISSING, payout.provider not in registry.PROVIDERS),
            (WaitingReason.PROVIDER_UNAVAILABLE, payout.provider in self.troubled),
            (WaitingReason.MERCHANT_FAILING, (payout.provider, payout.mode, payout.merchant_id) in self.lanes),
            (WaitingReason.PROVIDER_UNAVAILABLE, _is_backing_off(payout)),
        ]
        return next((reason for reason, holds in reasons if holds), None)


def _is_backing_off(payout: Waiting) -> bool:
    """Tell whether a failed attempt delays this payout: only an attempt that was not sent sets a later due_at.

    The answer is for people to read, so this machine's clock is exact enough.
    """
    return payout.status == PayoutStatus.PENDING and payout.due_at is not None and payout.due_at > timezone.now()
