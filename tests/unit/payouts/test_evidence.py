from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from payouts import evidence
from payouts.evidence import Evidence
from payouts.models import AttemptOutcome
from payouts.providers import base
from payouts.states import PayoutStatus

INSTRUCTION = base.Instruction(
    reference="r-1",
    amount=Decimal("1.00"),
    currency="EUR",
    recipient_details={"name": "Jane Doe", "account": "1"},
    attempt=1,
    age_seconds=0.0,
)


def reporting(report: Any) -> Callable[[base.Instruction], base.Report]:
    """Return a call to a provider that answers with this."""

    def call(instruction: base.Instruction) -> base.Report:
        assert instruction is INSTRUCTION
        return report  # type: ignore[no-any-return] # What a provider with a defect returns is any.

    return call


def raising(error: BaseException) -> Callable[[base.Instruction], base.Report]:
    """Return a call to a provider that breaks off with this."""

    def call(instruction: base.Instruction) -> base.Report:
        raise error

    return call


class TestGather:
    @pytest.mark.parametrize(
        ("kind", "outcome"),
        [
            (base.ReportKind.PAID, AttemptOutcome.PAID),
            (base.ReportKind.ACCEPTED, AttemptOutcome.ACCEPTED),
            (base.ReportKind.RETURNED, AttemptOutcome.RETURNED),
            (base.ReportKind.NOT_FOUND, AttemptOutcome.NOT_FOUND),
        ],
    )
    def test_takes_a_report_at_its_word(self, kind: base.ReportKind, outcome: AttemptOutcome) -> None:
        report = base.Report(kind, provider_reference="p-1", code="c", message="m")

        found = evidence.gather(reporting(report), INSTRUCTION)

        assert found == Evidence(outcome, code="c", message="m", provider_reference="p-1")

    def test_knows_every_kind_of_report(self) -> None:
        outcomes = {evidence.gather(reporting(base.Report(kind)), INSTRUCTION).outcome for kind in base.ReportKind}

        assert len(outcomes) == len(base.ReportKind)
        assert AttemptOutcome.UNKNOWN not in outcomes

    @pytest.mark.parametrize(
        ("error", "outcome"),
        [
            (base.Rejected("account_closed", "Closed."), AttemptOutcome.REJECTED),
            (base.Unavailable("account_closed", "Closed."), AttemptOutcome.NOT_SENT),
            (base.OutcomeUnknown("account_closed", "Closed."), AttemptOutcome.UNKNOWN),
        ],
    )
    def test_takes_each_kind_of_error_for_what_it_says(
        self, error: base.ProviderError, outcome: AttemptOutcome
    ) -> None:
        assert evidence.gather(raising(error), INSTRUCTION) == Evidence(outcome, "account_closed", "Closed.")

    def test_an_error_without_words_repeats_its_code(self) -> None:
        found = evidence.gather(raising(base.Rejected("account_closed")), INSTRUCTION)

        assert (found.code, found.message) == ("account_closed", "account_closed")

    @pytest.mark.parametrize(
        "error",
        [
            TimeoutError("read timed out"),
            ConnectionResetError(),
            ValueError("truncated JSON"),
            KeyError("status"),
            # Our own time limit, in the middle of the call.
            SoftTimeLimitExceeded(),
            base.ProviderError("new_kind"),
        ],
    )
    def test_anything_else_may_have_moved_money(self, error: Exception) -> None:
        found = evidence.gather(raising(error), INSTRUCTION)

        assert found == Evidence(AttemptOutcome.UNKNOWN, "unexpected_error", type(error).__name__)

    @pytest.mark.parametrize("answer", [None, "paid", base.Report("settled")])  # type: ignore[arg-type]
    def test_an_answer_that_is_none_may_have_moved_money(self, answer: Any) -> None:
        assert evidence.gather(reporting(answer), INSTRUCTION).outcome == AttemptOutcome.UNKNOWN

    def test_the_end_of_the_process_is_not_evidence(self) -> None:
        with pytest.raises(SystemExit):
            evidence.gather(raising(SystemExit()), INSTRUCTION)


class TestWords:
    """Whatever a provider says, its verdict can be stored."""

    def test_are_cut_to_their_columns(self) -> None:
        report = base.Report(base.ReportKind.PAID, provider_reference="r" * 300, code="c" * 300, message="m" * 600)

        found = evidence.gather(reporting(report), INSTRUCTION)

        assert found == Evidence(AttemptOutcome.PAID, "c" * 64, "m" * 500, "r" * 255)

    def test_lose_what_postgresql_does_not_take(self) -> None:
        found = evidence.gather(raising(base.Rejected("a\x00b", "\x00ö\ud800\x00")), INSTRUCTION)

        assert found == Evidence(AttemptOutcome.REJECTED, "ab", "ö?")

    @pytest.mark.parametrize("code", [42, None, b"x"])
    def test_that_are_no_text_do_not_hide_the_verdict(self, code: Any) -> None:
        report = base.Report(base.ReportKind.PAID, code=code)

        assert evidence.gather(reporting(report), INSTRUCTION).outcome == AttemptOutcome.PAID
        assert evidence.gather(raising(base.Rejected(code, "m")), INSTRUCTION).outcome == AttemptOutcome.REJECTED


class TestTargetOf:
    @pytest.mark.parametrize(
        ("outcome", "target"),
        [
            (AttemptOutcome.PAID, PayoutStatus.PAID),
            (AttemptOutcome.ACCEPTED, PayoutStatus.SUBMITTED),
            (AttemptOutcome.REJECTED, PayoutStatus.FAILED),
            (AttemptOutcome.RETURNED, PayoutStatus.RETURNED),
            # These show nothing about the money.
            (AttemptOutcome.NOT_FOUND, None),
            (AttemptOutcome.NOT_SENT, None),
            (AttemptOutcome.UNKNOWN, None),
        ],
    )
    def test_table(self, outcome: AttemptOutcome, target: PayoutStatus | None) -> None:
        assert evidence.target_of(outcome) == target

    def test_only_a_documented_refusal_is_evidence_of_a_failure(self) -> None:
        failing = {outcome for outcome in AttemptOutcome if evidence.target_of(outcome) == PayoutStatus.FAILED}

        assert failing == {AttemptOutcome.REJECTED}
