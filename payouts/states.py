"""The statuses of a payout and which may follow which. No queries here.

The table is a positive allow-list: what it does not name is refused, by payouts/transitions.py and again by a trigger
in the database (migration 0005).
"""

from __future__ import annotations

from typing import Final

from django.db import models


class PayoutStatus(models.TextChoices):
    #: Accepted, and waiting for a worker.
    PENDING = "pending", "Pending"
    #: A worker holds the lease and may be talking to the provider.
    PROCESSING = "processing", "Processing"
    #: The provider took it and has not said yet how it ended.
    SUBMITTED = "submitted", "Submitted"
    #: It may have been sent; the provider is being asked.
    UNKNOWN = "unknown", "Unknown"
    #: Machines must not decide; an operator looks.
    REQUIRES_ATTENTION = "requires_attention", "Requires attention"
    #: Money moved.
    PAID = "paid", "Paid"
    #: No money moved, and there is evidence of it.
    FAILED = "failed", "Failed"
    #: Called off before anything was sent.
    CANCELED = "canceled", "Canceled"
    #: Money moved and came back.
    RETURNED = "returned", "Returned"


_S = PayoutStatus

TRANSITIONS: Final[dict[PayoutStatus, frozenset[PayoutStatus]]] = {
    _S.PENDING: frozenset({_S.PROCESSING, _S.CANCELED}),
    # Back to pending only when it is certain that nothing was sent.
    _S.PROCESSING: frozenset({_S.SUBMITTED, _S.PAID, _S.FAILED, _S.UNKNOWN, _S.PENDING}),
    _S.SUBMITTED: frozenset({_S.PAID, _S.FAILED, _S.REQUIRES_ATTENTION}),
    # Back to processing is a second send with the same reference, inside the provider's idempotency window.
    _S.UNKNOWN: frozenset({_S.SUBMITTED, _S.PAID, _S.FAILED, _S.PROCESSING, _S.REQUIRES_ATTENTION}),
    # By an operator with a reason on record, or by the provider's own word when it comes after all. To pending by an
    # operator alone.
    _S.REQUIRES_ATTENTION: frozenset({_S.PAID, _S.FAILED, _S.PENDING}),
    _S.PAID: frozenset({_S.RETURNED}),
    # By an operator alone, with a reason on record. For everybody else it is over.
    _S.FAILED: frozenset({_S.PENDING}),
    _S.CANCELED: frozenset(),
    _S.RETURNED: frozenset(),
}

#: It is over for the merchant. Of these, `paid` may still come back, and an operator may have a failed one sent again.
OVER: Final = frozenset({_S.PAID, _S.FAILED, _S.CANCELED, _S.RETURNED})

#: The merchant may take a payout in these off its list: nothing was paid and nothing will be.
DELETABLE: Final = frozenset({_S.FAILED, _S.CANCELED})


def may_become(source: str, target: str) -> bool:
    """Tell whether the table allows this change."""
    return PayoutStatus(target) in TRANSITIONS[PayoutStatus(source)]


def path_of_evidence(source: str, target: str) -> tuple[PayoutStatus, ...]:
    """Return the statuses through which evidence of `target` takes a payout there; empty where there is no way.

    What the provider has executed was processed first, and money that came back has moved first.
    """
    path = [PayoutStatus(target)]
    if target == PayoutStatus.RETURNED and source != PayoutStatus.PAID:
        path.insert(0, PayoutStatus.PAID)
    if source == PayoutStatus.PENDING:
        path.insert(0, PayoutStatus.PROCESSING)
    return tuple(path) if may_become(source, path[0]) else ()


class AttemptKind(models.TextChoices):
    #: We told the provider to pay.
    SEND = "send", "Send"
    #: We asked it what became of the payout.
    ASK = "ask", "Ask"
    #: It told us by itself.
    CALLBACK = "callback", "Callback"
    #: A person decided.
    OPERATOR = "operator", "Operator"


class AttemptOutcome(models.TextChoices):
    """What one try at the provider showed."""

    PAID = "paid", "Paid"
    ACCEPTED = "accepted", "Accepted"
    REJECTED = "rejected", "Rejected"
    RETURNED = "returned", "Returned"
    NOT_FOUND = "not_found", "Not found"
    #: The request cannot have reached the provider.
    NOT_SENT = "not_sent", "Not sent"
    UNKNOWN = "unknown", "Unknown"
    #: An operator had it sent again.
    RETRIED = "retried", "Retried"
    #: An operator had the provider asked again.
    ASKED = "asked", "Asked"
    #: An operator has looked at a contradiction.
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
