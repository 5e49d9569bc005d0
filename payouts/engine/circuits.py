"""A circuit breaker for each provider. After a few failed sends in a row, the provider gets no sends for a while.
One trial payout is then sent before the others.

Without the breaker we would overload a provider that is down, and a provider that hangs would make "may have been
sent" of each waiting payout. Only sends are held back: asking moves no money, and brings us the outcome.
"""

from __future__ import annotations

import enum
import logging
import uuid
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from payouts.engine import retries
from payouts.engine.evidence import Evidence
from payouts.models import ProviderCircuit

logger = logging.getLogger(__name__)

#: One failure is an accident. Five in a row, of different payouts, with no success between them, are not.
FAILURES_MAX: Final = 5


class State(enum.Enum):
    #: Send.
    CLOSED = "closed"
    #: Send. Failures have been counted, too few to stop.
    FAILING = "failing"
    #: Send nothing.
    OPEN = "open"
    #: The delay is over: the next send is a trial.
    TO_BE_TRIED = "to_be_tried"


#: The state of the circuit of the parameter `provider`, as a column.
STATE: Final = """COALESCE((
    SELECT CASE
        WHEN retry_at > statement_timestamp() THEN 'open'
        WHEN retry_at IS NOT NULL THEN 'to_be_tried'
        WHEN failures_count > 0 THEN 'failing'
    END
    FROM payouts_providercircuit WHERE provider = %(provider)s
), 'closed')"""


def state_of(provider: str) -> State:
    """Return what may be done with this provider now."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {STATE}", {"provider": provider})
        return State(cursor.fetchone()[0])


def begin_trial(provider: str, *, seconds: float) -> bool:
    """Take the trial for one lease, in the claim's transaction. Return False if another worker has it."""
    taken = ProviderCircuit.objects.filter(provider=provider, retry_at__lte=Now()).update(
        retry_at=Now() + timedelta(seconds=seconds)
    )
    return bool(taken)


def record(provider: str, found: Evidence, *, payout_id: uuid.UUID, is_trial: bool) -> None:
    """Record the result of a send: a failure or a missing answer counts, and an answer closes the circuit.

    While the circuit is open, only the trial counts: the other sends began before it opened.
    """
    if found.is_trouble:
        _record_failure(provider, payout_id=payout_id, is_trial=is_trial)
        return
    troubled = ProviderCircuit.objects.filter(provider=provider).exclude(failures_count=0)
    if not is_trial:
        troubled = troubled.filter(opened_at__isnull=True)
    if troubled.update(failures_count=0, failed_payout_id=None, opened_at=None, retry_at=None) and is_trial:
        logger.info("provider.circuit.closed", extra={"provider": provider})


def _record_failure(provider: str, *, payout_id: uuid.UUID, is_trial: bool) -> None:
    with transaction.atomic(durable=True):
        circuit, _ = ProviderCircuit.objects.select_for_update().get_or_create(provider=provider)
        if not is_trial and (circuit.opened_at is not None or circuit.failed_payout_id == payout_id):
            # The send began before the circuit opened, or the payout was counted before: no new fact.
            return
        failures_count = circuit.failures_count + 1
        changes: dict[str, object] = {"failures_count": failures_count, "failed_payout_id": payout_id}
        if failures_count >= FAILURES_MAX:
            times = failures_count - FAILURES_MAX + 1
            delay_seconds = retries.circuit_delay_seconds(times, delay_max=settings.RETRY_DELAY_MAX_SECONDS)
            changes |= {"opened_at": circuit.opened_at or Now(), "retry_at": Now() + timedelta(seconds=delay_seconds)}
        ProviderCircuit.objects.filter(pk=provider).update(**changes)
    if failures_count == FAILURES_MAX:
        logger.error("provider.circuit.opened", extra={"provider": provider})
