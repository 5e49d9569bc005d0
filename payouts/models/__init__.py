"""The models of the app. Each is imported from here."""

from payouts.models.export import (
    UNFINISHED,
    UNWANTED,
    Export,
    ExportChunk,
    ExportFormat,
    ExportKind,
    ExportQuerySet,
    ExportStatus,
    lease_ended,
)
from payouts.models.heartbeat import Heartbeat
from payouts.models.history import AttemptQuerySet, PayoutAttempt, PayoutTransition
from payouts.models.pause import Pause
from payouts.models.payout import Payout, PayoutQuerySet
from payouts.models.provider import CallbackResult, CircuitQuerySet, LaneCircuit, ProviderCallback, ProviderCircuit
from payouts.models.rollup import SUM_DIGITS_MAX, RollupCell, RollupMark, RollupState
from payouts.models.server import KnownServer

__all__ = [
    "SUM_DIGITS_MAX",
    "UNFINISHED",
    "UNWANTED",
    "AttemptQuerySet",
    "CallbackResult",
    "CircuitQuerySet",
    "Export",
    "ExportChunk",
    "ExportFormat",
    "ExportKind",
    "ExportQuerySet",
    "ExportStatus",
    "Heartbeat",
    "KnownServer",
    "LaneCircuit",
    "Pause",
    "Payout",
    "PayoutAttempt",
    "PayoutQuerySet",
    "PayoutTransition",
    "ProviderCallback",
    "ProviderCircuit",
    "RollupCell",
    "RollupMark",
    "RollupState",
    "lease_ended",
]
