"""A circuit breaker for each provider. After a few failed sends in a row, the provider gets no sends for a while.
One trial payout is then sent before the others, and after it a few at once, and then more and more.

Without the breaker we would overload a provider that is down, and a provider that hangs would make "may have been
sent" of each waiting payout. Only sends are held back: asking moves no money, and brings us the outcome.

A merchant must not be able to stop the others. So failures count for the provider if they come from several merchants,
or from the only merchant that sends. All others count for the merchant's own lane (payouts/engine/lane_circuits.py).
"""

from __future__ import annotations

import enum
import json
import logging
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models.functions import Now

from payouts.engine import lane_circuits, retries
from payouts.models import Payout, ProviderCircuit
from payouts.providers import registry

logger = logging.getLogger(__name__)

#: One failure is an accident. Five in a row, of different payouts, with no success between them, are not.
FAILURES_MAX: Final = 5
#: So many of them count of one merchant, if others send too. Two of the five come from another one.
FAILURES_MAX_OF_ONE: Final = 3

#: Who has sent within this time is a merchant that sends. The longest distance between two payouts of a busy merchant.
SENDERS_SECONDS: Final = 60.0
#: Newest attempts to look at for them: the price of one failure, whatever the number of payouts.
SENDERS_LOOKED_AT: Final = 1000

#: Sends at once after the trial has closed the circuit. Each answer adds one, so the number doubles with each turn.
SENDS_FIRST: Final = 2
#: The limit goes away at the provider's own limit, or else here: twice the calls of a worker process.
SENDS_LAST: Final = 32


class State(enum.Enum):
    #: Send.
    CLOSED = "closed"
    #: Send. Failures have been counted, too few to stop.
    FAILING = "failing"
    #: Send a few at once: it has just closed.
    RECOVERING = "recovering"
    #: Send nothing.
    OPEN = "open"
    #: Send nothing of the merchant that failed last. The next send of another merchant is a trial.
    OPEN_FOR_ONE = "open_for_one"
    #: The delay is over: the next send is a trial.
    TO_BE_TRIED = "to_be_tried"

    @property
    def takes_trial(self) -> bool:
        """Whether the next send is a trial."""
        return self in {State.OPEN_FOR_ONE, State.TO_BE_TRIED}


@dataclass(frozen=True)
class Circuit:
    """A provider's circuit as a claim reads it."""

    state: State = State.CLOSED
    #: Merchant that failed last.
    failed_merchant_id: uuid.UUID | None = None
    #: Limit of sends at once, while it is recovering.
    sends_max: int | None = None


CLOSED: Final = Circuit()

#: The circuit of the parameter `provider`, as a column that `read` takes.
COLUMN: Final = """(
    SELECT jsonb_build_array(
        CASE
            WHEN retry_at > statement_timestamp() THEN CASE WHEN is_of_one_merchant THEN 'open_for_one' ELSE 'open' END
            WHEN retry_at IS NOT NULL THEN 'to_be_tried'
            WHEN sends_max IS NOT NULL THEN 'recovering'
            WHEN failures_count > 0 THEN 'failing'
            ELSE 'closed'
        END, failed_merchant_id, sends_max
    )::text
    FROM payouts_providercircuit WHERE provider = %(provider)s
)"""


def read(column: str | None) -> Circuit:
    """Return the circuit of the value of COLUMN."""
    if column is None:
        return CLOSED
    state, failed_merchant_id, sends_max = json.loads(column)
    return Circuit(State(state), failed_merchant_id and uuid.UUID(failed_merchant_id), sends_max)


def of(provider: str) -> Circuit:
    """Return what may be done with this provider now."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMN}", {"provider": provider})
        return read(cursor.fetchone()[0])


def begin_trial(provider: str, *, seconds: float) -> bool:
    """Take the trial for one lease, in the claim's transaction. Return False if another worker has it."""
    to_be_tried = models.Q(retry_at__lte=Now()) | models.Q(is_of_one_merchant=True)
    taken = ProviderCircuit.objects.filter(to_be_tried, provider=provider, retry_at__isnull=False).update(
        retry_at=Now() + timedelta(seconds=seconds), is_of_one_merchant=False
    )
    return bool(taken)


def record_answers(provider: str, *, count: int, is_trial: bool) -> None:
    """Record that the provider answered sends: the failures before them were no outage.

    An open circuit is closed by a trial alone: the other sends began before it opened.
    """
    last = registry.get(provider).capabilities.concurrency_max or SENDS_LAST
    known = ProviderCircuit.objects.filter(provider=provider).exclude(failures_count=0, sends_max=None)
    changes: dict[str, Any] = {"failures_count": 0, **_NO_FAILURES}
    if is_trial:
        changes |= {"opened_at": None, "retry_at": None, "sends_max": SENDS_FIRST if last > SENDS_FIRST else None}
    else:
        known = known.filter(opened_at__isnull=True)
        grown = models.When(sends_max__lt=last - count, then=models.F("sends_max") + count)
        changes["sends_max"] = models.Case(grown, default=None)
    if known.update(**changes) and is_trial:
        logger.info("provider.circuit.closed", extra={"provider": provider})


_NO_FAILURES: Final[dict[str, Any]] = {
    "failed_payout_id": None,
    "failed_merchant_id": None,
    "failures_of_each": {},
    "is_of_one_merchant": False,
    "trials_count": 0,
}


def record_failure(payout: Payout, *, is_trial: bool, is_lane_trial: bool) -> None:
    """Record that a send did not get through, or was not answered. It counts for the provider, or for the lane.

    While the circuit is open, only the trial counts: the other sends began before it opened.
    """
    with transaction.atomic(durable=True):
        circuit, _ = ProviderCircuit.objects.select_for_update().get_or_create(provider=payout.provider)
        if is_trial:
            _record_failed_trial(circuit, payout)
        elif circuit.opened_at is None and not _opens(circuit, payout):
            lane_circuits.record_failure(payout, is_trial=is_lane_trial)


def _record_failed_trial(circuit: ProviderCircuit, payout: Payout) -> None:
    trials_count = circuit.trials_count + 1
    _update(
        circuit,
        failures_count=circuit.failures_count + 1,
        failed_payout_id=payout.pk,
        failed_merchant_id=payout.merchant_id,
        trials_count=trials_count,
        opened_at=circuit.opened_at or Now(),
        retry_at=_retry_at(trials_count),
    )


def _opens(circuit: ProviderCircuit, payout: Payout) -> bool:
    """Count a failure for the provider, and return whether it opens the circuit."""
    # Another version may have begun again without emptying this.
    of_each = Counter(circuit.failures_of_each if circuit.failures_count else {})
    # A payout that fails again is no new fact.
    is_new = circuit.failures_count == 0 or circuit.failed_payout_id != payout.pk
    of_each[str(payout.merchant_id)] += is_new
    changes: dict[str, Any] = {
        "failures_count": circuit.failures_count + is_new,
        "failed_payout_id": payout.pk,
        "failed_merchant_id": payout.merchant_id,
        "failures_of_each": of_each,
    }
    is_outage = is_new and _are_an_outage(of_each, payout)
    if is_outage:
        changes |= {"opened_at": Now(), "retry_at": _retry_at(0), "sends_max": None, "trials_count": 0}
        changes["is_of_one_merchant"] = len(of_each) == 1
        # The provider is the reason, and not the lanes.
        lane_circuits.forget(payout.provider, of_each)
        extra = {"provider": payout.provider, "merchants_count": len(of_each)}
        logger.error("provider.circuit.opened", extra=extra)
    _update(circuit, **changes)
    return is_outage


def _are_an_outage(of_each: Counter[str], payout: Payout) -> bool:
    """Tell whether these failures are the provider's and not one merchant's."""
    if sum(min(count, FAILURES_MAX_OF_ONE) for count in of_each.values()) >= FAILURES_MAX:
        return True
    return len(of_each) == 1 and of_each.total() >= FAILURES_MAX and not _others_send(payout)


def _others_send(payout: Payout) -> bool:
    """Tell whether another merchant has sent through this provider lately."""
    statement = """
        SELECT EXISTS (
            SELECT FROM (
                SELECT payout_id, kind, started_at FROM payouts_payoutattempt ORDER BY id DESC LIMIT %(looked_at)s
            ) AS recent JOIN payouts_payout AS payout ON payout.id = recent.payout_id
            WHERE recent.kind = 'send' AND recent.started_at > statement_timestamp() - %(window)s
                AND payout.provider = %(provider)s AND payout.merchant_id <> %(merchant)s
        )"""
    parameters: dict[str, Any] = {
        "provider": payout.provider,
        "merchant": payout.merchant_id,
        "looked_at": SENDERS_LOOKED_AT,
        "window": timedelta(seconds=SENDERS_SECONDS),
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return bool(cursor.fetchone()[0])


def _retry_at(failed_trials: int) -> Any:
    delay_seconds = retries.circuit_delay_seconds(failed_trials + 1, delay_max=settings.RETRY_DELAY_MAX_SECONDS)
    return Now() + timedelta(seconds=delay_seconds)


def _update(circuit: ProviderCircuit, **changes: Any) -> None:
    ProviderCircuit.objects.filter(pk=circuit.pk).update(**changes)
