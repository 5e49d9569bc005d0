from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from payouts import limits
from payouts.engine import evidence
from payouts.engine.evidence import Evidence, Verdict
from payouts.providers import base
from payouts.states import AttemptOutcome, PayoutStatus

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
            (base.ReportKind.REJECTED, AttemptOutcome.REJECTED),
            (base.ReportKind.RETURNED, AttemptOutcome.RETURNED),
            (base.ReportKind.NOT_FOUND, AttemptOutcome.NOT_FOUND),
        ],
    )
    def test_takes_a_report_at_its_word(self, kind: base.ReportKind, outcome: AttemptOutcome) -> None:
        report = base.Report(kind, provider_reference="p-1", code="c", message="m")

        found = evidence.call_provider(reporting(report), INSTRUCTION)

        assert found == Evidence(outcome, code="c", message="m", provider_reference="p-1")

    @pytest.mark.parametrize("is_final", [True, False])
    def test_keeps_whether_something_may_follow(self, *, is_final: bool) -> None:
        report = base.Report(base.ReportKind.PAID, is_final=is_final)

        assert evidence.call_provider(reporting(report), INSTRUCTION).is_final is is_final

    def test_knows_every_kind_of_report(self) -> None:
        outcomes = {
            evidence.call_provider(reporting(base.Report(kind)), INSTRUCTION).outcome for kind in base.ReportKind
        }

        assert len(outcomes) == len(base.ReportKind)
        assert AttemptOutcome.UNKNOWN not in outcomes

    @pytest.mark.parametrize(
        ("error", "outcome", "is_trouble"),
        [
            (base.Rejected("account_closed", "Closed."), AttemptOutcome.REJECTED, False),
            (base.Unavailable("account_closed", "Closed."), AttemptOutcome.NOT_SENT, True),
            (base.OutcomeUnknown("account_closed", "Closed."), AttemptOutcome.UNKNOWN, True),
            (base.OutcomeUnknown("account_closed", "Closed.", is_about_payout=True), AttemptOutcome.UNKNOWN, False),
        ],
    )
    def test_takes_each_kind_of_error_for_what_it_says(
        self, error: base.ProviderError, outcome: AttemptOutcome, *, is_trouble: bool
    ) -> None:
        found = evidence.call_provider(raising(error), INSTRUCTION)

        plain = replace(found, is_of_one_send=False)
        assert plain == Evidence(outcome, "account_closed", "Closed.", is_trouble=is_trouble)

    @pytest.mark.parametrize(
        ("call", "is_of_one_send"),
        [
            # The provider refused what we sent just now, and says nothing of what we sent before, ...
            (raising(base.Rejected("account_closed")), True),
            # ... or that nothing with this reference will be executed any more, ...
            (raising(base.Rejected("account_closed", is_for_good=True)), False),
            # ... or what became of the reference.
            (reporting(base.Report(base.ReportKind.REJECTED)), False),
            (reporting(base.Report(base.ReportKind.PAID)), False),
            (raising(base.Unavailable("down")), False),
            (raising(base.OutcomeUnknown("timeout")), False),
        ],
    )
    def test_tells_what_a_refusal_is_about(
        self, call: Callable[[base.Instruction], base.Report], *, is_of_one_send: bool
    ) -> None:
        assert evidence.call_provider(call, INSTRUCTION).is_of_one_send is is_of_one_send

    def test_an_error_without_words_repeats_its_code(self) -> None:
        found = evidence.call_provider(raising(base.Rejected("account_closed")), INSTRUCTION)

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
        found = evidence.call_provider(raising(error), INSTRUCTION)

        expected = Evidence(AttemptOutcome.UNKNOWN, "unexpected_error", type(error).__name__)
        assert found == replace(expected, is_trouble=True)

    @pytest.mark.parametrize("answer", [None, "paid", base.Report("settled")])  # type: ignore[arg-type]
    def test_an_answer_that_is_none_may_have_moved_money(self, answer: Any) -> None:
        assert evidence.call_provider(reporting(answer), INSTRUCTION).outcome == AttemptOutcome.UNKNOWN

    def test_the_end_of_the_process_is_not_evidence(self) -> None:
        with pytest.raises(SystemExit):
            evidence.call_provider(raising(SystemExit()), INSTRUCTION)


class TestWords:
    """Whatever a provider says, its verdict can be stored."""

    def test_are_cut_to_their_columns(self) -> None:
        report = base.Report(base.ReportKind.PAID, provider_reference="r" * 300, code="c" * 300, message="m" * 600)

        found = evidence.call_provider(reporting(report), INSTRUCTION)

        assert found == Evidence(AttemptOutcome.PAID, "c" * 64, "m" * 500, "r" * 255)

    def test_lose_what_postgresql_does_not_take(self) -> None:
        found = evidence.call_provider(raising(base.Rejected("a\x00b", "\x00ö\ud800\x00")), INSTRUCTION)

        assert (found.outcome, found.code, found.message) == (AttemptOutcome.REJECTED, "a b", "ö")

    @pytest.mark.parametrize("code", [42, None, b"x"])
    def test_that_are_no_text_do_not_hide_the_verdict(self, code: Any) -> None:
        report = base.Report(base.ReportKind.PAID, code=code)

        assert evidence.call_provider(reporting(report), INSTRUCTION).outcome == AttemptOutcome.PAID
        assert evidence.call_provider(raising(base.Rejected(code, "m")), INSTRUCTION).outcome == AttemptOutcome.REJECTED


class TestRedaction:
    INSTRUCTION = replace(
        INSTRUCTION,
        recipient_details={
            "name": "Jane Doe",
            "account": "DE89370400440532013000",
            "country": "DE",
            "bank_code": "XY1",
        },
    )

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ("Account DE89370400440532013000 of Jane Doe is closed.", "Account *** of *** is closed."),
            ("Jane Doe, Jane Doe", "***, ***"),
            # Too short to tell anything, and they would stand in the middle of other words.
            ("XY1 refused it: EPOXY12.", "XY1 refused it: EPOXY12."),
            ("Closed.", "Closed."),
        ],
    )
    def test_hides_the_recipient(self, said: str, kept: str) -> None:
        errors = [base.Rejected("c", said), base.Unavailable("c", said), base.OutcomeUnknown("c", said)]
        calls = [raising(error) for error in errors]

        def report(instruction: base.Instruction) -> base.Report:
            return base.Report(base.ReportKind.PAID, message=said)

        found = [evidence.call_provider(call, self.INSTRUCTION).message for call in (*calls, report)]

        assert found == [kept] * 4

    @pytest.mark.parametrize(
        ("recipient", "said", "kept"),
        [
            ("Card ****1234", "Card ****1234 is blocked.", "*** is blocked."),
            ("Card ****1234", "card ****1234: the ****1234 is blocked.", "***: the *** is blocked."),
            # A part between commas, and an account in whatever spacing.
            ("Jane Doe, DE89 3704 0044", "DE8937040044 of Jane Doe is closed.", "*** of *** is closed."),
            ("Jane Doe DE8937040044", "Account DE89 3704 0044 is closed.", "Account *** is closed."),
            # An ordinary word is needed to say why.
            ("savings account DE8937040044", "The account is closed.", "The account is closed."),
        ],
    )
    def test_hides_a_recipient_that_is_a_text(self, recipient: str, said: str, kept: str) -> None:
        instruction = replace(INSTRUCTION, recipient_details=recipient)

        found = evidence.call_provider(raising(base.Rejected("account_closed", said)), instruction)

        assert (found.code, found.message) == ("account_closed", kept)

    def test_hides_what_would_be_cut_in_the_middle(self) -> None:
        said = "x" * (limits.MESSAGE_LENGTH_MAX - 10) + "DE89370400440532013000 is closed."

        found = evidence.call_provider(raising(base.Rejected("c", said)), self.INSTRUCTION)

        assert found.message == "x" * (limits.MESSAGE_LENGTH_MAX - 10) + "*** is clo"

    def test_hides_the_recipient_in_a_code(self) -> None:
        found = evidence.call_provider(
            raising(base.Rejected("de89 3704 0044 0532 0130 00_closed", "m")), self.INSTRUCTION
        )

        assert found.code == "***_closed"

    def test_hides_the_longer_value_first(self) -> None:
        instruction = replace(INSTRUCTION, recipient_details={"account": "1234", "bank_code": "12345678"})

        found = evidence.call_provider(raising(base.Rejected("c", "12345678 and 1234")), instruction)

        assert found.message == "*** and ***"


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
            # An operator's acts are no evidence.
            (AttemptOutcome.RETRIED, None),
            (AttemptOutcome.ASKED, None),
            (AttemptOutcome.ACKNOWLEDGED, None),
        ],
    )
    def test_table(self, outcome: AttemptOutcome, target: PayoutStatus | None) -> None:
        assert evidence.target_of(outcome) == target

    def test_only_a_documented_refusal_is_evidence_of_a_failure(self) -> None:
        failing = {outcome for outcome in AttemptOutcome if evidence.target_of(outcome) == PayoutStatus.FAILED}

        assert failing == {AttemptOutcome.REJECTED}


ADVANCES, KNOWN, CONTRADICTS = Verdict.ADVANCES, Verdict.KNOWN, Verdict.CONTRADICTS
EVIDENCE = (AttemptOutcome.PAID, AttemptOutcome.ACCEPTED, AttemptOutcome.REJECTED, AttemptOutcome.RETURNED)

#: What it means for a payout with each status that its provider says it is paid, accepted, rejected, returned.
VERDICTS = {
    PayoutStatus.PENDING: (ADVANCES, ADVANCES, ADVANCES, ADVANCES),
    PayoutStatus.PROCESSING: (ADVANCES, ADVANCES, ADVANCES, ADVANCES),
    PayoutStatus.SUBMITTED: (ADVANCES, KNOWN, ADVANCES, ADVANCES),
    PayoutStatus.UNKNOWN: (ADVANCES, ADVANCES, ADVANCES, ADVANCES),
    # That it was accepted ends no doubt.
    PayoutStatus.REQUIRES_ATTENTION: (ADVANCES, KNOWN, ADVANCES, ADVANCES),
    # Accepted came before paid, and is told late.
    PayoutStatus.PAID: (KNOWN, KNOWN, CONTRADICTS, ADVANCES),
    # We have said that no money moved. (Whether an `accepted` was overtaken, the payout's attempts tell.)
    PayoutStatus.FAILED: (CONTRADICTS, CONTRADICTS, KNOWN, CONTRADICTS),
    PayoutStatus.CANCELED: (CONTRADICTS, CONTRADICTS, KNOWN, CONTRADICTS),
    PayoutStatus.RETURNED: (KNOWN, KNOWN, CONTRADICTS, KNOWN),
}


class TestRead:
    @pytest.mark.parametrize("status", list(PayoutStatus))
    @pytest.mark.parametrize("outcome", EVIDENCE)
    def test_table(self, status: PayoutStatus, outcome: AttemptOutcome) -> None:
        assert evidence.judge(status, outcome) is VERDICTS[status][EVIDENCE.index(outcome)]

    @pytest.mark.parametrize("status", list(PayoutStatus))
    @pytest.mark.parametrize("outcome", sorted(set(AttemptOutcome) - set(EVIDENCE)))
    def test_what_shows_nothing_is_silent(self, status: PayoutStatus, outcome: AttemptOutcome) -> None:
        assert evidence.judge(status, outcome) is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize("outcome", list(AttemptOutcome))
    def test_of_an_earlier_reference(self, outcome: AttemptOutcome) -> None:
        """Its provider refused it, or there would be no second one: anything else contradicts that."""
        expected = {AttemptOutcome.REJECTED: KNOWN} | dict.fromkeys(
            set(EVIDENCE) - {AttemptOutcome.REJECTED}, CONTRADICTS
        )

        assert evidence.judge_earlier_reference(outcome) is expected.get(outcome, Verdict.INCONCLUSIVE)
