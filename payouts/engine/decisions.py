"""What follows from a provider's answer: the next status, or when to try or ask again. No statements.

payouts/engine/outcomes.py records it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from payouts.engine import evidence, retries
from payouts.engine.claims import Claim
from payouts.engine.evidence import Evidence, Verdict
from payouts.models import Payout
from payouts.providers import base, registry
from payouts.states import AttemptKind, AttemptOutcome, PayoutStatus

#: Our own reason for `failed`, beside those of the providers.
PROVIDER_UNAVAILABLE = "provider_unavailable"


@dataclass(frozen=True)
class Decision:
    """What follows from one answer."""

    #: None: the status stays.
    target: PayoutStatus | None
    reason: str = ""
    #: Seconds until the next step; None: no step is left.
    due_in_seconds: float | None = None
    #: The provider's own id, or "" if it gave none.
    provider_reference: str = ""
    #: Code and message of a failure or return.
    failure: tuple[str, str] | None = None
    #: Nothing was sent, so the provider's windows start with the next attempt that may reach it.
    was_not_sent: bool = False

    @property
    def columns(self) -> dict[str, Any]:
        """The columns that change, beside status and lease."""
        due_in = self.due_in_seconds
        columns: dict[str, Any] = {"due_at": None if due_in is None else Now() + timedelta(seconds=due_in)}
        if self.provider_reference:
            columns["provider_reference"] = self.provider_reference
        if self.failure is not None:
            columns["failure_code"], columns["failure_message"] = self.failure
        if self.was_not_sent:
            columns["first_sent_at"] = None
        return columns


def decide(claim: Claim, found: Evidence) -> Decision:
    """Return what follows from the answer, if the lease still holds."""
    payout, status = claim.payout, PayoutStatus(claim.payout.status)
    if evidence.needs_operator(status, found):
        return Decision(PayoutStatus.REQUIRES_ATTENTION, str(found))
    verdict = Verdict.INCONCLUSIVE if proves_nothing(claim, found) else evidence.judge(status, found.outcome)
    target = evidence.target_of(found.outcome)
    if verdict is Verdict.ADVANCES and target is not None:
        return advance(target, found, payout, reason=str(found))
    if status == PayoutStatus.PROCESSING:
        return _decide_inconclusive_send(claim, found)
    return _decide_next_ask(claim, status, found)


def advance(target: PayoutStatus, found: Evidence, payout: Payout, *, reason: str) -> Decision:
    """Return what follows from evidence that takes the payout to this status."""
    due_in_seconds, failure = None, None
    if target in {PayoutStatus.FAILED, PayoutStatus.RETURNED}:
        failure = (found.code, found.message)
    elif target == PayoutStatus.SUBMITTED or _may_come_back(payout, found):
        # The payout is not final, or the money may come back: ask again.
        due_in_seconds = _first_question_delay(target, payout)
    return Decision(target, reason, due_in_seconds, found.provider_reference, failure)


def _may_come_back(payout: Payout, found: Evidence) -> bool:
    return not found.is_final and _capabilities(payout).return_window_seconds > 0


def _first_question_delay(status: PayoutStatus, payout: Payout) -> float | None:
    if status == PayoutStatus.PAID:
        return _return_question_delay(payout, asked=0, waited_seconds=0.0)
    return _question_delay(payout, status, attempt=1)


def _decide_inconclusive_send(claim: Claim, found: Evidence) -> Decision:
    if found.outcome != AttemptOutcome.NOT_SENT or claim.maybe_sent:
        # The delay grows with each time that the payout was sent and was not found.
        attempt = claim.payout.attempts_count
        due_in_seconds = _question_delay(claim.payout, PayoutStatus.UNKNOWN, attempt=attempt)
        return Decision(PayoutStatus.UNKNOWN, str(found), due_in_seconds)
    tried_since = claim.tried_since or claim.claimed_at
    if (claim.claimed_at - tried_since).total_seconds() >= retries.NOT_SENT_GIVE_UP_SECONDS:
        # Evidence that no money moved: no attempt reached the provider.
        return Decision(PayoutStatus.FAILED, str(found), failure=(PROVIDER_UNAVAILABLE, found.message))
    delay_seconds = retries.send_delay_seconds(claim.sends_count, delay_max=settings.RETRY_DELAY_MAX_SECONDS)
    return Decision(PayoutStatus.PENDING, str(found), delay_seconds, was_not_sent=True)


def _decide_next_ask(claim: Claim, status: PayoutStatus, found: Evidence) -> Decision:
    if status == PayoutStatus.REQUIRES_ATTENTION:
        return Decision(None, due_in_seconds=retries.ATTENTION_ASK_SECONDS)
    is_lost = status == PayoutStatus.UNKNOWN and found.outcome == AttemptOutcome.NOT_FOUND
    if is_lost and claim.arrived_count >= retries.SENDS_MAX:
        reason = f"sent {claim.arrived_count} times with the same reference, and the provider does not know it"
        return Decision(PayoutStatus.REQUIRES_ATTENTION, reason, retries.ATTENTION_ASK_SECONDS)
    waited_seconds = _waited_seconds(claim, status)
    if status == PayoutStatus.PAID:
        due_in = _return_question_delay(claim.payout, asked=claim.asks_count, waited_seconds=waited_seconds)
        return Decision(None, due_in_seconds=None if found.is_final else due_in)
    patience_seconds = {
        PayoutStatus.UNKNOWN: retries.UNKNOWN_GIVE_UP_SECONDS,
        PayoutStatus.SUBMITTED: _capabilities(claim.payout).settle_time_seconds,
    }[status]
    if waited_seconds < patience_seconds:
        attempt = claim.payout.attempts_count
        delay = _question_delay(claim.payout, status, attempt=attempt, waited_seconds=waited_seconds)
        return Decision(None, due_in_seconds=delay)
    reason = "the provider did not say in time how it ended"
    return Decision(PayoutStatus.REQUIRES_ATTENTION, reason, retries.ATTENTION_ASK_SECONDS)


def _question_delay(payout: Payout, status: PayoutStatus, *, attempt: int, waited_seconds: float = 0.0) -> float:
    """Return how long to wait with the next question about an unknown or submitted payout.

    No callback reports a payout that never arrived, so `unknown` is asked about as if there were none.
    """
    return retries.ask_delay_seconds(
        attempt,
        waited_seconds=waited_seconds,
        has_callbacks=status == PayoutStatus.SUBMITTED and _capabilities(payout).has_callbacks,
        delay_max=settings.RETRY_DELAY_MAX_SECONDS,
    )


def _return_question_delay(payout: Payout, *, asked: int, waited_seconds: float) -> float | None:
    capabilities = _capabilities(payout)
    return retries.return_delay_seconds(
        asked,
        waited_seconds=waited_seconds,
        window_seconds=capabilities.return_window_seconds,
        has_callbacks=capabilities.has_callbacks,
    )


def _capabilities(payout: Payout) -> base.Capabilities:
    return registry.get(payout.provider).capabilities


def _waited_seconds(claim: Claim, status: PayoutStatus) -> float:
    """Return the seconds since the payout was accepted or paid, or else since it was sent."""
    if status == PayoutStatus.UNKNOWN or claim.status_since is None:
        return claim.instruction.age_seconds
    return (claim.claimed_at - claim.status_since).total_seconds()


def proves_nothing(claim: Claim, found: Evidence) -> bool:
    """Tell whether the provider refused only one of several sends.

    Such a refusal says nothing of the other sends, which may have moved the money or still will. A refusal for good, or
    in answer to a question about the reference, covers all of them.
    """
    return claim.kind == AttemptKind.SEND and found.is_of_one_send and claim.maybe_sent
