"""Attempts that are no calls of ours: reports that a provider sends, and decisions of an operator."""

from __future__ import annotations

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
    actor: str,
    reference_number: int | None = None,
    code: str = "",
    message: str = "",
) -> None:
    """Append a complete attempt to a payout that the caller's transaction has locked."""
    Payout.objects.filter(pk=payout.pk).update(attempts_count=models.F("attempts_count") + 1)
    payout.attempts_count += 1
    PayoutAttempt.objects.create(
        payout=payout,
        number=payout.attempts_count,
        kind=kind,
        outcome=outcome,
        actor=actor,
        reference_number=reference_number or payout.reference_number,
        code=code,
        message=message[: limits.MESSAGE_LENGTH_MAX],
        finished_at=Now(),
    )
