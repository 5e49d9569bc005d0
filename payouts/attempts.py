"""Complete attempts: reports that a provider sends, decisions of an operator, and results whose attempt was lost."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now

from payouts import errors, limits
from payouts.models import Payout, PayoutAttempt
from payouts.states import AttemptKind, AttemptOutcome
from rest import texts


def clean_reason(text: str) -> str:
    """Return an operator's reason in stored form. Raises ReasonMissing and ReasonUnusable."""
    problem = texts.problem_of_line(text)
    if problem == texts.BLANK:
        raise errors.ReasonMissing
    if problem is not None:
        raise errors.ReasonUnusable(problem.message)
    reason = texts.normalised(text).strip()
    if len(reason) > limits.MESSAGE_LENGTH_MAX:
        raise errors.ReasonUnusable
    return reason


def record(
    payout: Payout,
    *,
    kind: AttemptKind,
    outcome: AttemptOutcome,
    actor: str = "",
    reference_number: int | None = None,
    code: str = "",
    message: str = "",
    **columns: Any,
) -> PayoutAttempt:
    """Append a complete attempt to a payout that the caller's transaction has locked, and return it."""
    Payout.objects.filter(pk=payout.pk).update(attempts_count=models.F("attempts_count") + 1)
    payout.attempts_count += 1
    return PayoutAttempt.objects.create(
        payout=payout,
        number=payout.attempts_count,
        kind=kind,
        outcome=outcome,
        actor=actor,
        reference_number=reference_number or payout.reference_number,
        code=code,
        message=message[: limits.MESSAGE_LENGTH_MAX],
        finished_at=Now(),
        **columns,
    )
