"""Whether a contradiction is news. An operator who has looked at evidence must not be alarmed by its repetition."""

from __future__ import annotations

from typing import Final

from payouts.engine.evidence import Evidence
from payouts.models import Payout
from payouts.states import AttemptKind, AttemptOutcome

#: Acts of an operator who has looked at all that was on record by then.
_LOOKED: Final = (
    AttemptOutcome.ACKNOWLEDGED,
    AttemptOutcome.PAID,
    AttemptOutcome.REJECTED,
    AttemptOutcome.RETURNED,
)


def was_looked_at(payout: Payout, found: Evidence, *, reference_number: int, attempt_id: int | None = None) -> bool:
    """Tell whether the same evidence was on record when an operator acknowledged or resolved the payout.

    Evidence is the same if it names the same outcome and code of the same reference: the provider may say it in other
    words. `attempt_id` is the attempt that brings this evidence: it may have been recorded in the moment before.
    """
    acts = payout.attempts.filter(kind=AttemptKind.OPERATOR, outcome__in=_LOOKED)
    looked = acts.order_by("-number").first()
    if looked is None:
        return False
    said = payout.attempts.exclude(kind=AttemptKind.OPERATOR).exclude(pk=attempt_id or 0)
    same = said.filter(reference_number=reference_number, outcome=found.outcome, code=found.code)
    if found.outcome == AttemptOutcome.UNKNOWN:
        # The words name the other amount: one amount that was looked at says nothing of another.
        same = same.filter(message=found.message)
    elif found.outcome == AttemptOutcome.REJECTED and not found.is_of_one_send:
        # A refusal of one send was weaker evidence than one of the whole reference.
        same = same.exclude(kind=AttemptKind.SEND)
    return same.filter(finished_at__lt=looked.finished_at).exists()
