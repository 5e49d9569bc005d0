from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db.models import F

from payouts.engine import processing, retries
from payouts.models import Payout, PayoutAttempt
from payouts.providers import base
from tests.support import database, fake_provider
from tests.support.fake_provider import Answer, FakeProvider

pytestmark = pytest.mark.django_db


def process_again(payout: Payout) -> Payout:
    """Let its time come, process it, and return it as it is now."""
    database.make_due(payout)
    processing.process(payout.pk)
    payout.refresh_from_db()
    return payout


@pytest.fixture
def unknown_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
    return process_again(live_payout)


@pytest.fixture
def submitted_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    provider.on_send(fake_provider.ACCEPTED)
    return process_again(live_payout)


@pytest.fixture
def paid_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """Paid by a provider from which money may come back for an hour."""
    provider.promise(return_window_seconds=3600)
    return process_again(live_payout)


class TestUnknown:
    @pytest.mark.parametrize(
        ("answer", "statuses", "outcome"),
        [
            (fake_provider.PAID, ["paid"], "paid"),
            (fake_provider.ACCEPTED, ["submitted"], "accepted"),
            (fake_provider.REJECTED, ["failed"], "rejected"),
            # Money that came back has moved first.
            (fake_provider.RETURNED, ["paid", "returned"], "returned"),
            (fake_provider.UNKNOWN, [], "unknown"),
            (fake_provider.UNAVAILABLE, [], "not_sent"),
            (TimeoutError(), [], "unknown"),
        ],
    )
    def test_is_asked_about(
        self, provider: FakeProvider, unknown_payout: Payout, answer: Answer, statuses: list[str], outcome: str
    ) -> None:
        provider.on_ask(answer)

        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask"]
        assert database.statuses(unknown_payout) == ["pending", "processing", "unknown", *statuses]
        assert [row[:3] for row in database.attempts(unknown_payout)] == [(1, "send", "unknown"), (2, "ask", outcome)]
        assert unknown_payout.lease_token is None

    def test_is_not_asked_about_before_its_time(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        processing.process(unknown_payout.pk)

        assert provider.kinds == ["send"]

    def test_asks_again_later(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.on_ask(fake_provider.UNKNOWN)

        process_again(unknown_payout)

        due_in = database.due_in_seconds(unknown_payout)
        assert due_in is not None
        assert 0 < due_in < 4

    def test_an_ask_that_tells_nothing_changes_nothing_that_the_merchant_sees(
        self, provider: FakeProvider, unknown_payout: Payout
    ) -> None:
        provider.on_ask(fake_provider.UNKNOWN)
        before = (unknown_payout.version, unknown_payout.updated_at)

        process_again(unknown_payout)

        assert (unknown_payout.version, unknown_payout.updated_at) == before

    def test_requires_attention_after_a_day(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.on_ask(fake_provider.UNKNOWN)
        database.age(unknown_payout, seconds=retries.UNKNOWN_GIVE_UP_SECONDS)

        process_again(unknown_payout)

        assert unknown_payout.status == "requires_attention"
        assert_asked_in_six_hours(unknown_payout)
        assert unknown_payout.failure_code == ""
        assert database.history(unknown_payout)[-1] == (
            "unknown",
            "requires_attention",
            "worker",
            "the provider did not say in time how it ended",
        )

    def test_is_still_paid_when_the_answer_comes_after_a_day(
        self, provider: FakeProvider, unknown_payout: Payout
    ) -> None:
        database.age(unknown_payout, seconds=2 * retries.UNKNOWN_GIVE_UP_SECONDS)

        process_again(unknown_payout)

        assert unknown_payout.status == "paid"


class TestRequiresAttention:
    @pytest.fixture
    def stuck_payout(self, provider: FakeProvider, unknown_payout: Payout) -> Payout:
        provider.on_ask(fake_provider.UNKNOWN)
        database.age(unknown_payout, seconds=retries.UNKNOWN_GIVE_UP_SECONDS)
        process_again(unknown_payout)
        return unknown_payout

    def test_is_asked_about_every_six_hours(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        process_again(stuck_payout)

        assert provider.kinds == ["send", "ask", "ask"]
        assert stuck_payout.status == "requires_attention"
        assert_asked_in_six_hours(stuck_payout)

    def test_ends_when_the_provider_says_how(self, provider: FakeProvider, stuck_payout: Payout) -> None:
        provider.on_ask(fake_provider.PAID)

        process_again(stuck_payout)

        assert (stuck_payout.status, stuck_payout.due_at) == ("paid", None)

    def test_is_not_sent_again_when_the_provider_does_not_know_it(
        self, provider: FakeProvider, stuck_payout: Payout
    ) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)

        process_again(stuck_payout)

        assert provider.kinds == ["send", "ask", "ask"]
        assert stuck_payout.status == "requires_attention"


class TestNotFound:
    def test_is_sent_again_with_the_same_reference(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)

        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask", "send"]
        assert {call.instruction.reference for call in provider.calls} == {str(unknown_payout.pk)}
        assert database.history(unknown_payout)[3:] == [
            ("unknown", "processing", "worker", "sent again with the same reference"),
            ("processing", "paid", "worker", "provider: paid"),
        ]
        assert [row[:3] for row in database.attempts(unknown_payout)] == [
            (1, "send", "unknown"),
            (2, "ask", "not_found"),
            (3, "send", "paid"),
        ]

    def test_is_never_sent_again_outside_the_window(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.promise(idempotency_window_seconds=3600)
        provider.on_ask(fake_provider.NOT_FOUND)
        # 5 % before its end, which is more than a lease: the database's clock may have been set back meanwhile.
        database.age(unknown_payout, seconds=3600 * 0.95)

        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask"]
        assert unknown_payout.status == "unknown"
        due_in = database.due_in_seconds(unknown_payout)
        assert due_in is not None
        assert due_in > 0

    def test_is_sent_again_just_inside_the_window(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.promise(idempotency_window_seconds=3600)
        provider.on_ask(fake_provider.NOT_FOUND)
        database.age(unknown_payout, seconds=3600 * 0.95 - 30)

        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask", "send"]

    def test_keeps_back_a_lease_at_least(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        """What is claimed in the last lease of the window could be sent when the window is over."""
        provider.promise(idempotency_window_seconds=600)
        provider.on_ask(fake_provider.NOT_FOUND)
        database.age(unknown_payout, seconds=600 - settings.LEASE_SECONDS)

        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask"]

    def test_is_never_sent_again_without_a_window(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.promise(idempotency_window_seconds=0)
        provider.on_ask(fake_provider.NOT_FOUND)

        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask"]

    def test_not_sent_the_second_time_proves_nothing(self, provider: FakeProvider, live_payout: Payout) -> None:
        """The first attempt may still be executed, so it is neither pending nor failed."""
        provider.promise(idempotency_window_seconds=2 * retries.NOT_SENT_GIVE_UP_SECONDS)
        provider.on_send(fake_provider.UNKNOWN, fake_provider.UNAVAILABLE)
        provider.on_ask(fake_provider.NOT_FOUND)
        process_again(live_payout)
        database.age(live_payout, seconds=retries.NOT_SENT_GIVE_UP_SECONDS - 600)

        process_again(live_payout)

        assert provider.kinds == ["send", "ask", "send"]
        assert live_payout.status == "unknown"
        assert database.attempts(live_payout)[2] == (3, "send", "not_sent", "connection_refused")

    def test_a_submitted_payout_is_not_sent_again(self, provider: FakeProvider, submitted_payout: Payout) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)

        process_again(submitted_payout)

        assert provider.kinds == ["send", "ask"]
        assert submitted_payout.status == "submitted"


class TestSubmitted:
    @pytest.mark.parametrize(
        ("answer", "statuses"),
        [
            (fake_provider.PAID, ["paid"]),
            (fake_provider.REJECTED, ["failed"]),
            (fake_provider.RETURNED, ["paid", "returned"]),
            (fake_provider.ACCEPTED, []),
            (fake_provider.UNKNOWN, []),
        ],
    )
    def test_is_followed_to_its_end(
        self, provider: FakeProvider, submitted_payout: Payout, answer: Answer, statuses: list[str]
    ) -> None:
        provider.on_ask(answer)

        process_again(submitted_payout)

        assert database.statuses(submitted_payout) == ["pending", "processing", "submitted", *statuses]
        assert provider.kinds == ["send", "ask"]

    def test_a_rejection_says_why(self, provider: FakeProvider, submitted_payout: Payout) -> None:
        provider.on_ask(fake_provider.REJECTED)

        process_again(submitted_payout)

        assert submitted_payout.failure_code == "invalid_account"

    def test_requires_attention_when_it_takes_too_long(self, provider: FakeProvider, submitted_payout: Payout) -> None:
        provider.on_ask(fake_provider.ACCEPTED)
        provider.promise(settle_time_seconds=0.0)

        process_again(submitted_payout)

        assert submitted_payout.status == "requires_attention"
        assert_asked_in_six_hours(submitted_payout)

    @pytest.mark.parametrize(("has_callbacks", "part"), [(False, 20), (True, 5)])
    def test_is_asked_about_less_and_less_often(
        self, provider: FakeProvider, submitted_payout: Payout, *, has_callbacks: bool, part: int
    ) -> None:
        provider.promise(settle_time_seconds=72 * 3600.0, has_callbacks=has_callbacks)
        provider.on_ask(fake_provider.ACCEPTED)
        with database.unguarded("payouts_payouttransition", "payouts_guard_transition"):
            submitted_payout.transitions.update(created_at=F("created_at") - timedelta(hours=48))

        process_again(submitted_payout)

        assert database.due_in_seconds(submitted_payout) == pytest.approx(48 * 3600 / part, abs=30)

    def test_has_its_time_from_when_it_was_accepted(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        """It was unknown for longer than the provider takes to settle; that time is not the provider's."""
        provider.on_ask(fake_provider.ACCEPTED)
        database.age(unknown_payout, seconds=2 * provider.capabilities.settle_time_seconds)

        process_again(unknown_payout)
        process_again(unknown_payout)

        assert unknown_payout.status == "submitted"
        assert unknown_payout.due_at is not None


def send_before(payout: Payout, *, times: int) -> None:
    """Let the payout have been sent, and not found, so many times more."""
    attempts = [
        PayoutAttempt(payout=payout, number=payout.attempts_count + number, kind="send", outcome="unknown")
        for number in range(1, times + 1)
    ]
    PayoutAttempt.objects.bulk_create(attempts)
    Payout.objects.filter(pk=payout.pk).update(attempts_count=payout.attempts_count + times)
    payout.refresh_from_db()


class TestSentAgain:
    """Unknown, not found, and sent once more with the same reference."""

    def test_waits_longer_each_time(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(fake_provider.UNKNOWN)
        delays: list[float | None] = []

        for _ in range(3):
            process_again(unknown_payout)
            delays.append(database.due_in_seconds(unknown_payout))

        # Half of 2 s * 2^(n-1), after attempts 3, 5 and 7.
        assert delays == [pytest.approx(seconds, abs=1) for seconds in (4, 16, 64)]
        assert provider.kinds == ["send", *["ask", "send"] * 3]

    def test_requires_attention_after_twenty_sends(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(fake_provider.UNKNOWN)
        send_before(unknown_payout, times=retries.SENDS_MAX - 2)

        process_again(unknown_payout)
        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask", "send", "ask"]
        assert unknown_payout.attempts.filter(kind="send").count() == retries.SENDS_MAX == 20
        assert database.history(unknown_payout)[-1] == (
            "unknown",
            "requires_attention",
            "worker",
            "sent 20 times with the same reference, and the provider does not know it",
        )
        assert_asked_in_six_hours(unknown_payout)

    def test_counts_no_send_that_cannot_have_arrived(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        """A provider that is away for hours must not make thousands of payouts an operator's."""
        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(fake_provider.UNAVAILABLE)
        send_before(unknown_payout, times=retries.SENDS_MAX - 2)

        for _ in range(3):
            process_again(unknown_payout)

        assert provider.kinds == ["send", *["ask", "send"] * 3]
        assert unknown_payout.status == "unknown"

    def test_a_refusal_proves_nothing_about_the_first_send(
        self, provider: FakeProvider, unknown_payout: Payout
    ) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(fake_provider.REJECTED)

        process_again(unknown_payout)

        assert [row[1:3] for row in database.attempts(unknown_payout)] == [
            ("send", "unknown"),
            ("ask", "not_found"),
            ("send", "rejected"),
        ]
        assert (unknown_payout.status, unknown_payout.failure_code) == ("unknown", "")
        assert unknown_payout.due_at is not None

    def test_a_refusal_for_good_is_said_of_the_first_send_too(
        self, provider: FakeProvider, unknown_payout: Payout
    ) -> None:
        """Its provider remembers it: whatever of the first is still on its way will be refused as well."""
        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(base.Rejected("invalid_account", "The account number is malformed.", is_for_good=True))

        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask", "send"]
        assert (unknown_payout.status, unknown_payout.failure_code) == ("failed", "invalid_account")

    def test_is_not_repeated_after_a_refusal(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(fake_provider.REJECTED)

        process_again(unknown_payout)
        process_again(unknown_payout)

        assert provider.kinds == ["send", "ask", "send", "ask"]
        assert unknown_payout.status == "unknown"

    def test_is_paid_when_the_first_send_turns_out_to_be(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        provider.on_ask(fake_provider.NOT_FOUND, fake_provider.PAID)
        provider.on_send(fake_provider.REJECTED)

        process_again(unknown_payout)
        process_again(unknown_payout)

        assert unknown_payout.status == "paid"


class TestPaid:
    def test_is_watched_while_it_may_come_back(self, paid_payout: Payout) -> None:
        # The first of six questions within the hour.
        assert database.due_in_seconds(paid_payout) == pytest.approx(3600 / 32, abs=30)

    @pytest.mark.parametrize(("has_callbacks", "questions"), [(False, 6), (True, 3)])
    def test_is_asked_about_six_times_or_three_with_callbacks(
        self, provider: FakeProvider, unknown_payout: Payout, *, has_callbacks: bool, questions: int
    ) -> None:
        provider.promise(return_window_seconds=3600, has_callbacks=has_callbacks)
        paid_payout = process_again(unknown_payout)
        assert paid_payout.status == "paid"

        while paid_payout.due_at is not None:
            process_again(paid_payout)

        # The first question was about the outcome.
        assert provider.kinds == ["send", "ask"] + ["ask"] * questions

    def test_may_come_back(self, provider: FakeProvider, paid_payout: Payout) -> None:
        provider.on_ask(fake_provider.RETURNED)

        process_again(paid_payout)

        assert database.statuses(paid_payout) == ["pending", "processing", "paid", "returned"]
        assert paid_payout.failure_code == "account_closed"
        assert paid_payout.failure_message == "The account is closed."
        assert paid_payout.due_at is None

    def test_stays_paid_and_is_watched_on(self, provider: FakeProvider, paid_payout: Payout) -> None:
        process_again(paid_payout)

        assert paid_payout.status == "paid"
        assert paid_payout.due_at is not None

    def test_is_left_alone_when_the_provider_says_that_nothing_will_follow(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.promise(return_window_seconds=3600)
        provider.on_send(replace(fake_provider.PAID, is_final=True))

        process_again(live_payout)

        assert (live_payout.status, live_payout.due_at) == ("paid", None)

    def test_is_left_alone_once_the_provider_says_that_nothing_will_follow(
        self, provider: FakeProvider, paid_payout: Payout
    ) -> None:
        provider.on_ask(replace(fake_provider.PAID, is_final=True))

        process_again(paid_payout)

        assert (paid_payout.status, paid_payout.due_at) == ("paid", None)
        assert provider.kinds == ["send", "ask"]

    def test_is_left_alone_when_the_time_is_over(self, provider: FakeProvider, paid_payout: Payout) -> None:
        provider.promise(return_window_seconds=0.0)

        process_again(paid_payout)

        assert (paid_payout.status, paid_payout.due_at) == ("paid", None)
        assert database.statuses(paid_payout) == ["pending", "processing", "paid"]

    def test_an_answer_that_is_out_of_date_is_no_news(self, provider: FakeProvider, paid_payout: Payout) -> None:
        provider.on_ask(fake_provider.ACCEPTED)

        process_again(paid_payout)

        assert (paid_payout.status, paid_payout.contradicted_at) == ("paid", None)
        assert paid_payout.due_at is not None

    def test_contradicting_evidence_changes_nothing_and_is_told(
        self,
        provider: FakeProvider,
        paid_payout: Payout,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        provider.on_ask(fake_provider.REJECTED)

        with django_capture_on_commit_callbacks(execute=True):
            process_again(paid_payout)

        assert (paid_payout.status, paid_payout.failure_code) == ("paid", "")
        assert paid_payout.contradicted_at is not None
        assert database.statuses(paid_payout) == ["pending", "processing", "paid"]
        told = [record for record in caplog.records if record.message == "payout.evidence.contradicted"]
        assert [(record.levelno, record.__dict__["payout_id"]) for record in told] == [
            (logging.ERROR, str(paid_payout.pk))
        ]


class TestWithSandbox:
    """The provider of test payouts, with its answers as documented."""

    def test_rejects_with_the_code(self, make_processed_payout: Callable[..., Payout]) -> None:
        payout = make_processed_payout("sandbox_rejected_limit_exceeded")

        assert (payout.status, payout.failure_code) == ("failed", "limit_exceeded")

    def test_unknown_is_found_paid(self, make_processed_payout: Callable[..., Payout]) -> None:
        payout = process_again(make_processed_payout("sandbox_unknown"))

        assert database.statuses(payout) == ["pending", "processing", "unknown", "paid"]

    def test_accepted_is_final_later(self, make_processed_payout: Callable[..., Payout]) -> None:
        payout = process_again(make_processed_payout("sandbox_accepted"))
        assert payout.status == "submitted"
        database.age(payout, seconds=2)

        process_again(payout)

        assert database.statuses(payout) == ["pending", "processing", "submitted", "paid"]

    def test_returned_comes_back_later(self, make_processed_payout: Callable[..., Payout]) -> None:
        payout = make_processed_payout("sandbox_returned")
        database.age(payout, seconds=4)

        process_again(payout)

        assert database.statuses(payout) == ["pending", "processing", "paid", "returned"]

    def test_instruction_ages_from_the_first_attempt(self, provider: FakeProvider, unknown_payout: Payout) -> None:
        ages: list[float] = []

        def note(instruction: base.Instruction) -> base.Report:
            ages.append(instruction.age_seconds)
            return fake_provider.PAID

        provider.on_ask(note)
        database.age(unknown_payout, seconds=500)

        process_again(unknown_payout)

        assert 500 <= ages[0] < 530


def assert_asked_in_six_hours(payout: Payout) -> None:
    due_in = database.due_in_seconds(payout)
    assert due_in == pytest.approx(6 * 3600, abs=60)
