"""What the answer of a provider means for a payout. Pure: no queries, no clock.

Only a documented answer moves a payout towards its end. Everything that could mean "it may have been executed" is
UNKNOWN, and an unknown payout is asked about and never reported as failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from payouts.models import AttemptOutcome
from payouts.providers import base
from payouts.states import PayoutStatus

CODE_LENGTH_MAX: Final = 64
MESSAGE_LENGTH_MAX: Final = 500
REFERENCE_LENGTH_MAX: Final = 255


@dataclass(frozen=True)
class Evidence:
    """One answer of a provider, or the lack of one."""

    outcome: AttemptOutcome
    code: str = ""
    message: str = ""
    provider_reference: str = ""
    #: The provider says that nothing will follow.
    is_final: bool = False


_OUTCOME_OF_REPORT: Final = {
    base.ReportKind.PAID: AttemptOutcome.PAID,
    base.ReportKind.ACCEPTED: AttemptOutcome.ACCEPTED,
    base.ReportKind.RETURNED: AttemptOutcome.RETURNED,
    base.ReportKind.NOT_FOUND: AttemptOutcome.NOT_FOUND,
}

_TARGET_OF_OUTCOME: Final = {
    AttemptOutcome.PAID: PayoutStatus.PAID,
    AttemptOutcome.ACCEPTED: PayoutStatus.SUBMITTED,
    AttemptOutcome.REJECTED: PayoutStatus.FAILED,
    AttemptOutcome.RETURNED: PayoutStatus.RETURNED,
}


def target_of(outcome: AttemptOutcome) -> PayoutStatus | None:
    """Return the status that this outcome is evidence of, or None where it is evidence of none."""
    return _TARGET_OF_OUTCOME.get(outcome)


def gather(call: Callable[[base.Instruction], base.Report], instruction: base.Instruction) -> Evidence:
    """Call the provider and say what its answer shows. Never raises.

    An exception that is none of the three kinds is a defect of the provider's code or a time limit of ours; either way
    the request may have gone out.
    """
    try:
        report = call(instruction)
        found = _evidence(_OUTCOME_OF_REPORT[report.kind], report.code, report.message, report.provider_reference)
        return replace(found, is_final=report.is_final)
    except base.Rejected as error:
        return _evidence(AttemptOutcome.REJECTED, error.code, error.message)
    except base.Unavailable as error:
        return _evidence(AttemptOutcome.NOT_SENT, error.code, error.message)
    except base.OutcomeUnknown as error:
        return _evidence(AttemptOutcome.UNKNOWN, error.code, error.message)
    except Exception as error:  # noqa: BLE001 - any exception at all may come after the money moved
        return _evidence(AttemptOutcome.UNKNOWN, "unexpected_error", type(error).__name__)


def _evidence(outcome: AttemptOutcome, code: str, message: str, provider_reference: str = "") -> Evidence:
    return Evidence(
        outcome,
        code=_storable(code, CODE_LENGTH_MAX),
        message=_storable(message, MESSAGE_LENGTH_MAX),
        provider_reference=_storable(provider_reference, REFERENCE_LENGTH_MAX),
    )


def _storable(text: object, length_max: int) -> str:
    """Return the text as PostgreSQL takes it: the words of a provider must not keep its verdict from being written."""
    return str(text).encode("utf-8", "replace").decode("utf-8").replace("\x00", "")[:length_max]
