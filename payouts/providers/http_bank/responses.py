"""The meaning of a bank's answers: the table of docs/http-bank.md. Pure.

Only documented answers are statements about money. All others are OutcomeUnknown, and the bank is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from payouts import limits, money
from payouts.providers import base, redaction
from payouts.providers.base import ReportKind
from payouts.providers.http_bank import documents
from payouts.providers.http_bank.documents import Problem, Transfer, TransferStatus

#: Limit of the bank's words: enough for a sentence, too short to fill the logs.
WORDS_LENGTH_MAX: Final = 200

#: Statuses about one request alone. Every payout would get the others, such as 401 for an expired token or 403 of a
#: firewall, so they mean a bank in trouble.
ABOUT_PAYOUT: Final = frozenset({400, 409, 413, 422})

_KINDS: Final = {
    TransferStatus.ACCEPTED: ReportKind.ACCEPTED,
    TransferStatus.PAID: ReportKind.PAID,
    TransferStatus.REJECTED: ReportKind.REJECTED,
    TransferStatus.RETURNED: ReportKind.RETURNED,
}


@dataclass(frozen=True)
class Answer:
    """An HTTP answer with at least its status line and headers."""

    status: int
    body: bytes = b""
    #: Why the body is unusable.
    body_failure: base.ProviderError | None = None


def read_send(answer: Answer, instruction: base.Instruction, *, hidden: Sequence[str] = ()) -> base.Report:
    """Return what the answer to a PUT shows, without hidden words. Raises ProviderError."""
    problem = _problem(answer)
    _raise_if_settled(answer, problem)
    match answer.status:
        case 200 | 201:
            return _report_about(answer, instruction, hidden)
        case 422:
            raise _rejected(answer, instruction, hidden)
        case 409 if problem and problem.code == "reference_conflict":
            raise _conflict(answer, problem, instruction, hidden)
        case _:
            raise _undocumented(answer, problem, hidden)


def read_ask(answer: Answer, instruction: base.Instruction, *, hidden: Sequence[str] = ()) -> base.Report:
    """Return what the answer to a GET shows, without hidden words. Raises ProviderError."""
    problem = _problem(answer)
    _raise_if_settled(answer, problem)
    match answer.status:
        case 200:
            return _report_about(answer, instruction, hidden)
        # A 404 without the code may come from a proxy, which knows no transfers.
        case 404 if problem and problem.code == "transfer_not_found":
            return base.Report(ReportKind.NOT_FOUND)
        case _:
            raise _undocumented(answer, problem, hidden)


def report_of(transfer: Transfer, *, hidden: Sequence[str] = ()) -> base.Report:
    """Translate a transfer document, without the hidden words."""
    failed = transfer.status in {TransferStatus.REJECTED, TransferStatus.RETURNED}
    code = _words(transfer.code, hidden, limits.CODE_LENGTH_MAX)
    return base.Report(
        _KINDS[transfer.status],
        provider_reference=transfer.id,
        # The merchant sees it as the reason of the failure, so it must not be empty.
        code=code or (transfer.status.value if failed else ""),
        message=_words(transfer.message, hidden),
        is_final=transfer.is_final,
    )


def _problem(answer: Answer) -> Problem | None:
    """Return the bank's description of the problem, if any."""
    if answer.status < 400:
        return None
    try:
        return documents.read_problem(answer.body)
    except documents.Unreadable:
        return None


def _raise_if_settled(answer: Answer, problem: Problem | None) -> None:
    """Raise if the answer means the same for every request."""
    if answer.status == 429:
        # The status alone means that nothing was done, even if the body cannot be read.
        raise base.Unavailable("rate_limited", "The bank takes no more requests for the moment.")
    if answer.body_failure:
        raise answer.body_failure
    if answer.status == 401 and problem and problem.code == "unauthorized":
        raise base.Unavailable("unauthorized", "The bank does not accept our token or signature.")


def _report_about(answer: Answer, instruction: base.Instruction, hidden: Sequence[str]) -> base.Report:
    try:
        transfer = documents.read_transfer(answer.body)
    except documents.Unreadable as error:
        raise _unreadable(answer, error) from None
    for name in ("reference", "amount", "currency"):
        if getattr(transfer, name) != getattr(instruction, name):
            raise _mismatch(answer, name)
    return report_of(transfer, hidden=hidden)


def _rejected(answer: Answer, instruction: base.Instruction, hidden: Sequence[str]) -> base.ProviderError:
    """Return what a 422 means. The refusal of another reference says nothing about this one."""
    try:
        refusal = documents.read_refusal(answer.body)
    except documents.Unreadable as error:
        return _unreadable(answer, error)
    if refusal.reference != instruction.reference:
        return _mismatch(answer, "reference")
    code = _words(refusal.code, hidden, limits.CODE_LENGTH_MAX)
    return base.Rejected(code or "rejected", _words(refusal.message, hidden), is_for_good=True)


def _conflict(
    answer: Answer, problem: Problem, instruction: base.Instruction, hidden: Sequence[str]
) -> base.OutcomeUnknown:
    """Return what a 409 means: the reference was used before, and money may have moved on those terms."""
    ours = _sum(instruction.amount, instruction.currency)
    there = documents.read_conflicting(answer.body)
    if there is None:
        terms = f"not {ours}. The bank: {_words(problem.message, hidden)}"
    elif _sum(there.amount, there.currency) == ours:
        terms = f"{ours} to another recipient."
    else:
        terms = f"{_sum(there.amount, there.currency)} at the bank, {ours} here."
    return base.OutcomeUnknown(
        "reference_conflict",
        f"The bank has this reference with other terms: {terms}",
        is_about_payout=True,
        is_for_operator=True,
    )


def _sum(amount: Decimal, currency: str) -> str:
    return f"{money.format_amount(amount, currency)} {currency}"


def _unreadable(answer: Answer, error: documents.Unreadable) -> base.OutcomeUnknown:
    return _unusable(answer, "unreadable_answer", f"The bank's answer cannot be read: {error}.")


def _mismatch(answer: Answer, name: str) -> base.OutcomeUnknown:
    return _unusable(answer, "answer_mismatch", f"The bank answered about another {name}.")


def _undocumented(answer: Answer, problem: Problem | None, hidden: Sequence[str]) -> base.OutcomeUnknown:
    said = _words(f": {problem.code}: {problem.message}", hidden) if problem else "."
    return _unusable(answer, f"http_{answer.status}", f"The bank answered {answer.status}{said}", problem)


def _unusable(answer: Answer, code: str, message: str, problem: Problem | None = None) -> base.OutcomeUnknown:
    """Return the error of an answer that proves nothing. Unless it is about one payout, the bank is in trouble."""
    # A 404 without the code comes from a proxy, or from an address that is not the bank's.
    is_unknown_transfer = answer.status == 404 and problem is not None and problem.code == "transfer_not_found"
    is_about_payout = answer.status in ABOUT_PAYOUT or is_unknown_transfer
    return base.OutcomeUnknown(code, message, is_about_payout=is_about_payout)


def _words(text: str, hidden: Sequence[str], length_max: int = WORDS_LENGTH_MAX) -> str:
    return redaction.presentable(text, hidden=hidden, length_max=length_max)
