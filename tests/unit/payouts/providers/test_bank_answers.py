"""The table of docs/http-bank.md, without a connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.providers import base
from payouts.providers.base import ReportKind
from payouts.providers.http_bank import responses
from payouts.providers.http_bank.responses import Answer
from tests.unit.payouts.providers.banks import INSTRUCTION, as_json, refusal, transfer

READERS: list[Callable[..., base.Report]] = [responses.read_send, responses.read_ask]
LOST = base.OutcomeUnknown("connection_lost", "It broke.")
MISSING = object()


def problem(status: int, code: str = "no", message: str = "That is why.") -> Answer:
    return Answer(status, as_json({"code": code, "message": message}))


def refused(**changes: Any) -> Answer:
    return Answer(422, as_json(refusal(**changes)))


def error_of(read: Callable[..., base.Report], answer: Answer, **options: Any) -> base.ProviderError:
    with pytest.raises(base.ProviderError) as error:
        read(answer, INSTRUCTION, **options)
    return error.value


class TestTransfer:
    @pytest.mark.parametrize(
        ("status", "final", "kind"),
        [
            ("accepted", False, ReportKind.ACCEPTED),
            ("paid", False, ReportKind.PAID),
            ("paid", True, ReportKind.PAID),
            ("rejected", True, ReportKind.REJECTED),
            ("returned", True, ReportKind.RETURNED),
        ],
    )
    @pytest.mark.parametrize("read", READERS)
    def test_is_reported(self, read: Callable[..., base.Report], status: str, final: bool, kind: ReportKind) -> None:  # noqa: FBT001
        body = as_json(transfer(status=status, final=final, code="c", message="m"))

        report = read(Answer(200, body), INSTRUCTION)

        assert report == base.Report(kind, provider_reference="tr_1", code="c", message="m", is_final=final)

    @pytest.mark.parametrize(
        ("status", "code"), [("accepted", ""), ("paid", ""), ("rejected", "rejected"), ("returned", "returned")]
    )
    def test_has_a_code_where_it_failed(self, status: str, code: str) -> None:
        body = as_json(transfer(status=status, final=status != "accepted"))

        assert responses.read_send(Answer(200, body), INSTRUCTION).code == code

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"reference": "another"}, "reference"),
            ({"reference": INSTRUCTION.reference.upper()}, "reference"),
            ({"amount": "10.51"}, "amount"),
            ({"amount": "1050"}, "amount"),
            ({"currency": "USD"}, "currency"),
        ],
    )
    @pytest.mark.parametrize("read", READERS)
    def test_about_something_else_proves_nothing(
        self, read: Callable[..., base.Report], changes: dict[str, str], name: str
    ) -> None:
        error = error_of(read, Answer(200, as_json(transfer(**changes))))

        assert isinstance(error, base.OutcomeUnknown)
        assert (error.code, error.message) == ("answer_mismatch", f"The bank answered about another {name}.")

    @pytest.mark.parametrize("amount", ["10.5", "10.50", "10.500"])
    def test_may_spell_the_amount_as_it_likes(self, amount: str) -> None:
        for ours in (Decimal("10.5"), Decimal("10.5000")):
            told = replace(INSTRUCTION, amount=ours)
            assert responses.read_send(Answer(200, as_json(transfer(amount=amount))), told).kind is ReportKind.PAID

    @pytest.mark.parametrize("read", READERS)
    def test_that_cannot_be_read_proves_nothing(self, read: Callable[..., base.Report]) -> None:
        error = error_of(read, Answer(200, as_json(transfer(status="lost"))))

        assert isinstance(error, base.OutcomeUnknown)
        assert error.code == "unreadable_answer"
        assert error.message == "The bank's answer cannot be read: status is none that the contract has."


class TestRefusal:
    def test_of_a_send_is_a_rejection(self) -> None:
        error = error_of(responses.read_send, refused())

        assert isinstance(error, base.Rejected)
        assert (error.code, error.message) == ("account_closed", "The account is closed.")

    @pytest.mark.parametrize("name", ["code", "message", "reference"])
    @pytest.mark.parametrize("value", [None, 1, [], MISSING])
    def test_that_is_not_whole_proves_nothing(self, name: str, value: object) -> None:
        document = {key: said for key, said in refusal(**{name: value}).items() if said is not MISSING}

        error = error_of(responses.read_send, Answer(422, as_json(document)))

        assert (type(error), error.code) == (base.OutcomeUnknown, "unreadable_answer")
        assert error.message == f"The bank's answer cannot be read: {name} is missing or no text."

    @pytest.mark.parametrize(
        "answer", [Answer(422), Answer(422, b"{}"), refused(code=" "), refused(reference=""), refused(reference="a b")]
    )
    def test_that_cannot_be_read_proves_nothing(self, answer: Answer) -> None:
        error = error_of(responses.read_send, answer)

        assert (type(error), error.code) == (base.OutcomeUnknown, "unreadable_answer")

    # A late answer to another request must not fail a payout that the bank executes.
    @pytest.mark.parametrize("reference", ["another", INSTRUCTION.reference.upper()])
    def test_of_another_reference_proves_nothing(self, reference: str) -> None:
        error = error_of(responses.read_send, refused(reference=reference))

        assert (type(error), error.code) == (base.OutcomeUnknown, "answer_mismatch")
        assert error.message == "The bank answered about another reference."

    def test_that_is_cut_off_proves_nothing(self) -> None:
        assert error_of(responses.read_send, Answer(422, body_failure=LOST)) is LOST

    def test_has_a_code_even_if_none_of_it_can_be_shown(self) -> None:
        error = error_of(responses.read_send, refused(code="\x00\x01"))

        assert isinstance(error, base.Rejected)
        assert error.code == "rejected"

    def test_has_a_code_and_a_message_that_are_not_too_long(self) -> None:
        error = error_of(responses.read_send, refused(code="c" * 1000, message="m" * 1000))

        assert (len(error.code), len(error.message)) == (64, 200)

    def test_of_a_question_proves_nothing(self) -> None:
        error = error_of(responses.read_ask, refused())

        assert isinstance(error, base.OutcomeUnknown)
        assert error.code == "http_422"

    # A merchant may call a recipient whatever it likes: what is hidden changes no meaning.
    def test_means_the_same_whatever_is_hidden(self) -> None:
        hidden = ["transfer_not_found", "unauthorized", "reference_conflict"]

        found = responses.read_ask(problem(404, "transfer_not_found"), INSTRUCTION, hidden=hidden)
        stranger = error_of(responses.read_send, problem(401, "unauthorized"), hidden=hidden)
        conflict = error_of(responses.read_send, problem(409, "reference_conflict"), hidden=hidden)

        assert found.kind is ReportKind.NOT_FOUND
        assert (type(stranger), stranger.code) == (base.Unavailable, "unauthorized")
        assert (type(conflict), conflict.code) == (base.OutcomeUnknown, "reference_conflict")


@pytest.mark.parametrize("read", READERS)
class TestNothingDone:
    @pytest.mark.parametrize("answer", [Answer(429), Answer(429, b"<html>"), Answer(429, body_failure=LOST)])
    def test_when_there_are_too_many_requests(self, read: Callable[..., base.Report], answer: Answer) -> None:
        error = error_of(read, answer)

        assert (type(error), error.code) == (base.Unavailable, "rate_limited")

    def test_when_the_bank_does_not_know_us(self, read: Callable[..., base.Report]) -> None:
        error = error_of(read, problem(401, "unauthorized"))

        assert (type(error), error.code) == (base.Unavailable, "unauthorized")

    # A gateway that asks for a password may stand behind one that has sent the request on.
    @pytest.mark.parametrize(
        "answer", [Answer(401), Answer(401, b"<html>"), problem(401, "expired"), Answer(401, body_failure=LOST)]
    )
    def test_is_not_certain_of_another_401(self, read: Callable[..., base.Report], answer: Answer) -> None:
        assert isinstance(error_of(read, answer), base.OutcomeUnknown)


class TestQuestion:
    def test_about_what_the_bank_does_not_know(self) -> None:
        answer = problem(404, "transfer_not_found")

        assert responses.read_ask(answer, INSTRUCTION) == base.Report(ReportKind.NOT_FOUND)
        assert error_of(responses.read_send, answer).code == "http_404"

    @pytest.mark.parametrize("answer", [Answer(404), Answer(404, b"Not Found"), problem(404, "not_found")])
    def test_that_nobody_understands_proves_nothing(self, answer: Answer) -> None:
        error = error_of(responses.read_ask, answer)

        assert (type(error), error.code) == (base.OutcomeUnknown, "http_404")

    def test_creates_nothing(self) -> None:
        assert error_of(responses.read_ask, Answer(201, as_json(transfer()))).code == "http_201"


class TestEverythingElse:
    def test_is_unknown(self) -> None:
        documented = {200, 201, 401, 404, 409, 422, 429}
        bodies = [b"", as_json(transfer()), as_json({"code": "transfer_not_found", "message": "m"})]
        for status, body, read in product(set(range(100, 1000)) - documented, bodies, READERS):
            error = error_of(read, Answer(status, body))
            assert (type(error), error.code) == (base.OutcomeUnknown, f"http_{status}")

    @given(st.integers(100, 999).filter(lambda status: status != 429), st.binary())
    def test_is_unknown_whatever_it_says(self, status: int, body: bytes) -> None:
        for read in READERS:
            assert isinstance(error_of(read, Answer(status, body)), base.OutcomeUnknown)

    def test_repeats_what_the_bank_says_about_it(self) -> None:
        error = error_of(responses.read_send, problem(500, "broken", "Call\n us."))

        assert error.message == "The bank answered 500: broken: Call us."

    def test_repeats_nothing_of_what_is_no_document_of_the_bank(self) -> None:
        error = error_of(responses.read_send, Answer(502, b"<h1>Jane Doe</h1>"))

        assert error.message == "The bank answered 502."


class TestConflict:
    """Money may have moved on the other terms. No later answer about ours can say so."""

    @pytest.mark.parametrize(
        ("known", "terms"),
        [
            ({"amount": "12.00"}, "12.00 EUR at the bank, 10.50 EUR here."),
            ({"currency": "USD"}, "10.50 USD at the bank, 10.50 EUR here."),
            ({}, "10.50 EUR to another recipient."),
        ],
    )
    def test_shows_both_terms(self, known: dict[str, str], terms: str) -> None:
        document = {"code": "reference_conflict", "message": "No.", "transfer": transfer(**known)}

        conflict = error_of(responses.read_send, Answer(409, as_json(document)))

        assert isinstance(conflict, base.OutcomeUnknown)
        assert (conflict.code, conflict.is_for_operator, conflict.is_about_payout) == ("reference_conflict", True, True)
        assert conflict.message == f"The bank has this reference with other terms: {terms}"

    @pytest.mark.parametrize("there", [MISSING, None, "tr_1", {}, transfer(amount="many")])
    def test_shows_the_words_of_a_bank_that_does_not_show_its_terms(self, there: Any) -> None:
        document = {"code": "reference_conflict", "message": "Used for Jane."}
        if there is not MISSING:
            document["transfer"] = there

        conflict = error_of(responses.read_send, Answer(409, as_json(document)), hidden=["Jane"])

        assert isinstance(conflict, base.OutcomeUnknown)
        assert conflict.is_for_operator
        assert conflict.message == (
            "The bank has this reference with other terms: not 10.50 EUR. The bank: Used for ***."
        )

    def test_is_the_documented_one_alone(self) -> None:
        other = error_of(responses.read_send, problem(409, "busy"))

        assert isinstance(other, base.OutcomeUnknown)
        assert (other.code, other.is_for_operator) == ("http_409", False)


class TestTrouble:
    """What every payout would be answered, such as 401 with an expired token, must stop the sending."""

    ABOUT_PAYOUT = (400, 409, 413, 422)

    @pytest.mark.parametrize("read", READERS)
    @pytest.mark.parametrize("body", [b"", b"<html>", as_json({"code": "no", "message": "m"})])
    def test_is_everything_but_four_answers_to_one_request(self, read: Callable[..., base.Report], body: bytes) -> None:
        settled = {(401, "unauthorized"), (429, "rate_limited")}
        for status in set(range(100, 1000)) - {429}:
            error = error_of(read, Answer(status, body))
            assert isinstance(error, base.OutcomeUnknown), status
            assert (status, error.code) not in settled
            assert error.is_about_payout is (status in self.ABOUT_PAYOUT), status

    @pytest.mark.parametrize("status", [401, 403, 404, 405])
    def test_is_what_a_firewall_or_an_expired_token_answers(self, status: int) -> None:
        error = error_of(responses.read_send, problem(status, "expired"))

        assert isinstance(error, base.OutcomeUnknown)
        assert not error.is_about_payout

    def test_is_no_404_with_the_code_of_the_contract(self) -> None:
        error = error_of(responses.read_send, problem(404, "transfer_not_found"))

        assert isinstance(error, base.OutcomeUnknown)
        assert (error.code, error.is_about_payout) == ("http_404", True)

    def test_is_no_conflict_of_one_reference(self) -> None:
        error = error_of(responses.read_send, problem(409, "reference_conflict"))

        assert isinstance(error, base.OutcomeUnknown)
        assert error.is_about_payout

    def test_is_a_document_about_another_payout(self) -> None:
        """A proxy that answers everything from its cache."""
        error = error_of(responses.read_send, Answer(200, as_json(transfer(reference="another"))))

        assert isinstance(error, base.OutcomeUnknown)
        assert not error.is_about_payout
