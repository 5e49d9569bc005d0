"""What the answer of a provider means for a payout. Pure: no queries, no clock.

Only a documented answer moves a payout towards its end. Any answer that could mean "executed" is UNKNOWN. An unknown
payout is asked about, and is never reported as failed.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from payouts import limits, recipient_details, states
from payouts.providers import base, redaction
from payouts.recipient_details import RecipientDetails
from payouts.states import AttemptOutcome, PayoutStatus
from rest import texts


@dataclass(frozen=True)
class Evidence:
    """One answer of a provider, or the lack of one."""

    outcome: AttemptOutcome
    code: str = ""
    message: str = ""
    provider_reference: str = ""
    #: Whether the provider says that nothing will follow.
    is_final: bool = False
    #: Whether a refusal is about this send alone, and not about others with the same reference.
    is_of_one_send: bool = False
    #: Whether the provider is in trouble, and not only this payout.
    is_trouble: bool = False
    #: Whether no later answer can say what became of the payout, so that an operator has to look.
    is_for_operator: bool = False

    def __str__(self) -> str:
        said = f"provider: {self.outcome.value}"
        return f"{said}, {self.code}: {self.message}" if self.code else said


class Verdict(enum.Enum):
    """What evidence means for a payout with a certain status."""

    #: The evidence advances the payout.
    ADVANCES = "moves"
    #: We know this already, or something later.
    KNOWN = "known"
    #: The evidence and our status cannot both be true.
    CONTRADICTS = "contradicts"
    #: The evidence shows nothing.
    INCONCLUSIVE = "silent"


_OUTCOME_OF_REPORT: Final = {
    base.ReportKind.PAID: AttemptOutcome.PAID,
    base.ReportKind.ACCEPTED: AttemptOutcome.ACCEPTED,
    base.ReportKind.REJECTED: AttemptOutcome.REJECTED,
    base.ReportKind.RETURNED: AttemptOutcome.RETURNED,
    base.ReportKind.NOT_FOUND: AttemptOutcome.NOT_FOUND,
}

_TARGET_OF_OUTCOME: Final = {
    AttemptOutcome.PAID: PayoutStatus.PAID,
    AttemptOutcome.ACCEPTED: PayoutStatus.SUBMITTED,
    AttemptOutcome.REJECTED: PayoutStatus.FAILED,
    AttemptOutcome.RETURNED: PayoutStatus.RETURNED,
}

#: Late news that each status allows: callbacks come in any order.
_OVERTAKEN: Final[dict[PayoutStatus, frozenset[PayoutStatus]]] = {
    PayoutStatus.SUBMITTED: frozenset({PayoutStatus.SUBMITTED}),
    PayoutStatus.REQUIRES_ATTENTION: frozenset({PayoutStatus.SUBMITTED}),
    PayoutStatus.PAID: frozenset({PayoutStatus.SUBMITTED, PayoutStatus.PAID}),
    PayoutStatus.RETURNED: frozenset({PayoutStatus.SUBMITTED, PayoutStatus.PAID, PayoutStatus.RETURNED}),
    PayoutStatus.FAILED: frozenset({PayoutStatus.FAILED}),
    PayoutStatus.CANCELED: frozenset({PayoutStatus.FAILED}),
}


def target_of(outcome: AttemptOutcome) -> PayoutStatus | None:
    """Return the status that this outcome is evidence of, or None if there is none."""
    return _TARGET_OF_OUTCOME.get(outcome)


def judge(status: PayoutStatus, outcome: AttemptOutcome) -> Verdict:
    """Return what an outcome of the payout's present reference means for this status."""
    target = target_of(outcome)
    if target is None:
        return Verdict.INCONCLUSIVE
    if states.path_of_evidence(status, target):
        return Verdict.ADVANCES
    return Verdict.KNOWN if target in _OVERTAKEN.get(status, frozenset()) else Verdict.CONTRADICTS


def needs_operator(status: PayoutStatus, found: Evidence) -> bool:
    """Tell whether the evidence makes a payout with this status require attention."""
    return found.is_for_operator and bool(states.path_of_evidence(status, PayoutStatus.REQUIRES_ATTENTION))


def judge_earlier_reference(outcome: AttemptOutcome) -> Verdict:
    """Return what an outcome means if the provider refused its reference and the payout has a newer one."""
    target = target_of(outcome)
    if target is None:
        return Verdict.INCONCLUSIVE
    return Verdict.KNOWN if target == PayoutStatus.FAILED else Verdict.CONTRADICTS


def call_provider(call: Callable[[base.Instruction], base.Report], instruction: base.Instruction) -> Evidence:
    """Call the provider and return the evidence, without the recipient's details. Never raises.

    Any other exception than the three kinds is a defect of the provider's code, or a time limit of ours. In both cases
    the request may have gone out.
    """
    recipient = instruction.recipient_details
    try:
        return from_report(call(instruction), recipient)
    except base.Rejected as error:
        found = _evidence(AttemptOutcome.REJECTED, error.code, error.message, recipient)
        return replace(found, is_of_one_send=not error.is_for_good)
    except base.Unavailable as error:
        return replace(_evidence(AttemptOutcome.NOT_SENT, error.code, error.message, recipient), is_trouble=True)
    except base.OutcomeUnknown as error:
        found = _evidence(AttemptOutcome.UNKNOWN, error.code, error.message, recipient)
        return replace(found, is_trouble=not error.is_about_payout, is_for_operator=error.is_for_operator)
    except Exception as error:  # noqa: BLE001 - any exception at all may come after the money moved
        found = _evidence(AttemptOutcome.UNKNOWN, "unexpected_error", type(error).__name__, recipient)
        return replace(found, is_trouble=True)


def from_report(report: base.Report, recipient: RecipientDetails) -> Evidence:
    """Return what a report shows, without recipient details that the provider may repeat."""
    found = _evidence(_OUTCOME_OF_REPORT[report.kind], report.code, report.message, recipient)
    provider_reference = _storable(
        texts.on_one_line(str(report.provider_reference)).strip(), limits.REFERENCE_LENGTH_MAX
    )
    return replace(found, provider_reference=provider_reference, is_final=report.is_final)


def _evidence(outcome: AttemptOutcome, code: str, message: str, recipient: RecipientDetails) -> Evidence:
    hidden = recipient_details.private_texts(recipient)

    def shown(text: str, length_max: int) -> str:
        return _storable(redaction.presentable(text, hidden=hidden, length_max=length_max), length_max)

    return Evidence(outcome, shown(str(code), limits.CODE_LENGTH_MAX), shown(str(message), limits.MESSAGE_LENGTH_MAX))


def _storable(text: str, length_max: int) -> str:
    """Return the text in a form that PostgreSQL stores: odd characters must not block a provider's answer."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")[:length_max]
