"""The statuses of a payout and which may follow which. No queries here.

The table is an allow-list. Any other change is refused by payouts/transitions.py, and again by a trigger in the
database (migration 0016).
"""

from __future__ import annotations

from typing import Final

from django.db import models


class PayoutStatus(models.TextChoices):
    #: Accepted, and waiting for a worker.
    PENDING = "pending", "Pending"
    #: A worker holds the lease and may be talking to the provider.
    PROCESSING = "processing", "Processing"
    #: The provider accepted it; the outcome is open.
    SUBMITTED = "submitted", "Submitted"
    #: It may have been sent; the provider is being asked.
    UNKNOWN = "unknown", "Unknown"
    #: An operator has to decide.
    REQUIRES_ATTENTION = "requires_attention", "Requires attention"
    #: Money moved.
    PAID = "paid", "Paid"
    #: No money moved, with evidence.
    FAILED = "failed", "Failed"
    #: Canceled before any send.
    CANCELED = "canceled", "Canceled"
    #: Money moved and came back.
    RETURNED = "returned", "Returned"


_S = PayoutStatus

TRANSITIONS: Final[dict[PayoutStatus, frozenset[PayoutStatus]]] = {
    _S.PENDING: frozenset({_S.PROCESSING, _S.CANCELED}),
    # Back to pending only if certainly nothing was sent.
    _S.PROCESSING: frozenset({_S.SUBMITTED, _S.PAID, _S.FAILED, _S.UNKNOWN, _S.PENDING}),
    _S.SUBMITTED: frozenset({_S.PAID, _S.FAILED, _S.REQUIRES_ATTENTION}),
    # Back to processing: a second send with the same reference, inside the provider's idempotency window.
    _S.UNKNOWN: frozenset({_S.SUBMITTED, _S.PAID, _S.FAILED, _S.PROCESSING, _S.REQUIRES_ATTENTION}),
    # By an operator with a recorded reason, or by late evidence from the provider. To pending only by an operator.
    _S.REQUIRES_ATTENTION: frozenset({_S.PAID, _S.FAILED, _S.PENDING}),
    _S.PAID: frozenset({_S.RETURNED}),
    # Only by an operator, with a recorded reason. For all others the status is final.
    _S.FAILED: frozenset({_S.PENDING, _S.PAID}),
    _S.CANCELED: frozenset({_S.PAID}),
    _S.RETURNED: frozenset(),
}

#: Changes that no evidence makes, because they contradict what the merchant was told. Only an operator makes them.
BY_OPERATORS_ALONE: Final = frozenset(
    {
        (_S.REQUIRES_ATTENTION, _S.PENDING),
        (_S.FAILED, _S.PENDING),
        (_S.FAILED, _S.PAID),
        (_S.CANCELED, _S.PAID),
    }
)

#: Final for the merchant. But a paid payout may be returned, and an operator may retry a failed one.
OVER: Final = frozenset({_S.PAID, _S.FAILED, _S.CANCELED, _S.RETURNED})

#: The provider can be asked about these. requires_attention: only if an operator asks.
ASKABLE: Final = (_S.UNKNOWN, _S.SUBMITTED, _S.PAID, _S.REQUIRES_ATTENTION)

#: The merchant may delete a payout in these: nothing was paid and nothing will be.
DELETABLE: Final = frozenset({_S.FAILED, _S.CANCELED})

#: Money moved, so the payout is in the merchant's list and sums even if the merchant deleted it before.
LISTED: Final = frozenset({_S.PAID, _S.RETURNED})


def may_become(source: str, target: str) -> bool:
    """Tell whether the table allows this change."""
    return PayoutStatus(target) in TRANSITIONS[PayoutStatus(source)]


def path_of_evidence(source: str, target: str) -> tuple[PayoutStatus, ...]:
    """Return the statuses through which evidence of `target` takes a payout there; empty if there is no way.

    An executed payout was processed first, and returned money was paid first. A payout that an operator has to look at
    was unknown first.
    """
    path = _path(source, target)
    is_of_operators = (source, path[0]) in BY_OPERATORS_ALONE
    return path if may_become(source, path[0]) and not is_of_operators else ()


def path_of_resolution(source: str, target: str) -> tuple[PayoutStatus, ...]:
    """Return the statuses through which an operator takes a payout to `target`; empty if there is no way.

    A payout that is processing is in a worker's hands: its lease ends first.
    """
    path = _path(source, target)
    return path if may_become(source, path[0]) and source != PayoutStatus.PROCESSING else ()


def _path(source: str, target: str) -> tuple[PayoutStatus, ...]:
    path = [PayoutStatus(target)]
    if target == PayoutStatus.REQUIRES_ATTENTION and source in {PayoutStatus.PENDING, PayoutStatus.PROCESSING}:
        path.insert(0, PayoutStatus.UNKNOWN)
    if target == PayoutStatus.RETURNED and source != PayoutStatus.PAID:
        path.insert(0, PayoutStatus.PAID)
    if source == PayoutStatus.PENDING:
        path.insert(0, PayoutStatus.PROCESSING)
    return tuple(path)


class AttemptKind(models.TextChoices):
    #: We sent the payout to the provider.
    SEND = "send", "Send"
    #: We asked the provider for the outcome.
    ASK = "ask", "Ask"
    #: The provider sent a callback.
    CALLBACK = "callback", "Callback"
    #: An operator acted.
    OPERATOR = "operator", "Operator"


class AttemptOutcome(models.TextChoices):
    """Result of one attempt."""

    PAID = "paid", "Paid"
    ACCEPTED = "accepted", "Accepted"
    REJECTED = "rejected", "Rejected"
    RETURNED = "returned", "Returned"
    NOT_FOUND = "not_found", "Not found"
    #: The request cannot have reached the provider.
    NOT_SENT = "not_sent", "Not sent"
    UNKNOWN = "unknown", "Unknown"
    #: An operator retried the payout.
    RETRIED = "retried", "Retried"
    #: An operator asked the provider again.
    ASKED = "asked", "Asked"
    #: An operator has acknowledged a contradiction.
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
