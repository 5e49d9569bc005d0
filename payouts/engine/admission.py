"""Decides if a call of a payout's provider may begin: pauses, the provider's circuit, and its capacity.

A payout that may not be called for stays pending and due, and shows the reason (payouts/engine/holds.py).
"""

from __future__ import annotations

from typing import Final

from django.db import OperationalError, connection, models, transaction

from payouts.engine import circuits
from payouts.engine.circuits import Circuit
from payouts.engine.lanes import Group
from payouts.providers import registry
from payouts.states import AttemptKind
from postgres.errors import is_locked

# The first halves of the numbers of our advisory locks. They keep our locks apart from all others.
_PAUSE_LOCK: Final = 0x5041594F
_CAPACITY_LOCK: Final = 0x50415950
_CAPACITY: Final = f"pg_advisory_xact_lock({_CAPACITY_LOCK}, hashtext(%(provider)s))"
_PAUSES_SHARED: Final = f"pg_advisory_xact_lock_shared({_PAUSE_LOCK}, 0)"


def has_provider() -> models.Q:
    """Select the payouts whose provider this version has.

    During a rollout, an old worker may get a payout whose provider it lacks. The worker leaves the payout alone: a
    claim would make "may have been sent" of a payout that it cannot send.
    """
    return models.Q(provider__in=list(registry.PROVIDERS))


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


def enter(group: Group) -> Circuit:
    """Take the locks under which payouts of this group are claimed, and return the provider's circuit.

    The locks are held until the end of the caller's transaction. The shared pause lock is for sends alone. The
    provider's lock makes callers count the calls under way one after the other: two at the same time would both find
    the last place free.
    """
    capabilities = registry.get(group.provider).capabilities
    is_send = group.kind == AttemptKind.SEND
    locks: list[str] = [_PAUSES_SHARED] if is_send else []
    if capabilities.concurrency_max is not None:
        locks.append(_CAPACITY)
    judges = is_send and capabilities.fails_as_a_whole
    columns = [*locks, *([circuits.COLUMN] if judges else [])]
    if not columns:
        return circuits.CLOSED
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(columns)}", {"provider": group.provider})
        row = cursor.fetchone()
    circuit = circuits.read(row[-1]) if judges else circuits.CLOSED
    if circuit.sends_max is not None and _CAPACITY not in locks:
        # The sends under way are counted for a provider without a limit, too.
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {_CAPACITY}", {"provider": group.provider})
    return circuit


def _execute(sql: str, *parameters: int | str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
