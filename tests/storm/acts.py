"""What operators do, each with the same functions as the admin and the commands. Django must be set up.

An act that the platform refuses, or for which the database is away, is answered with the reason.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from django.core.management import CommandError, call_command
from django.db import DatabaseError, InterfaceError, connection

from accounts.models import Merchant
from idempotency import retention
from payouts import operators
from payouts.engine import failover, pauses
from payouts.models import Pause, Payout
from payouts.states import PayoutStatus
from rest.refusals import Refusal

#: Answers to keys that are older are erased, which takes 30 days by default.
_ANSWERS_KEPT: Final = timedelta(seconds=10)
_ACTOR: Final = "operator:storm"
_REASON: Final = "the storm's operator"
_EVIDENCE: Final = "the bank's book does not have it"

Order = Mapping[str, str]


def carry_out(order: Order) -> dict[str, Any]:
    """Do what the order names. Returns what was done, why it was refused, or that the database was away."""
    try:
        return {"done": _ACTS[order["act"]](order)}
    except (Refusal, CommandError) as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    except (DatabaseError, InterfaceError) as error:
        connection.close()
        return {"away": str(error)}


def _pause(order: Order) -> int:
    return pauses.pause(_scope(order), actor=_ACTOR, reason=_REASON).pk


def _resume(order: Order) -> None:
    pauses.resume(_scope(order), actor=_ACTOR)


def _resume_failover(order: Order) -> int | None:
    """Resume what the platform paused by itself, after the bank was compared (which the verdict does)."""
    del order
    if not Pause.objects.active().filter(actor=failover.ACTOR).exists():
        return None
    pauses.resume(pauses.Scope(), actor=_ACTOR)
    return 1


def _scope(order: Order) -> pauses.Scope:
    merchant = Merchant.objects.get(name=order["merchant"]) if order.get("merchant") else None
    return pauses.Scope(merchant=merchant, provider=order.get("provider", ""))


def _retry(order: Order) -> str | None:
    """Retry the payout that failed first and was not retried yet, and return it."""
    del order
    failed = Payout.objects.filter(status=PayoutStatus.FAILED, mode="live", deleted_at__isnull=True, reference_number=1)
    payout = failed.order_by("updated_at").first()
    return str(operators.retry_payout(payout, actor=_ACTOR, reason=_REASON).pk) if payout else None


def _ask(order: Order) -> str | None:
    """Have the bank asked about any payout that it can be asked about, and return it."""
    del order
    askable = (PayoutStatus.UNKNOWN, PayoutStatus.SUBMITTED, PayoutStatus.PAID)
    payout = Payout.objects.filter(status__in=askable, mode="live", lease_token__isnull=True).order_by("?").first()
    return str(operators.ask_about_payout(payout, actor=_ACTOR, reason=_REASON).pk) if payout else None


def _purge(order: Order) -> int:
    del order
    return retention.purge_responses(older_than=_ANSWERS_KEPT)


def _give_up(order: Order) -> None:
    """Record that no money moved for a payout that the bank does not have."""
    payout = Payout.objects.get(pk=order["payout"])
    operators.resolve_payout(payout, target=PayoutStatus.FAILED, actor=_ACTOR, reason=_REASON, evidence=_EVIDENCE)


def _verify(order: Order) -> str:
    """Compare the roll-up with the payouts; refused where they differ."""
    del order
    with io.StringIO() as printed:
        call_command("verify_rollup", stdout=printed)
        return printed.getvalue().strip()


_ACTS: Final[Mapping[str, Callable[[Order], Any]]] = {
    "pause": _pause,
    "resume": _resume,
    "resume_failover": _resume_failover,
    "retry": _retry,
    "ask": _ask,
    "purge": _purge,
    "give_up": _give_up,
    "verify": _verify,
}
