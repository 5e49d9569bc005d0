"""What follows from a question about a payout that was accepted or paid."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from payouts.models import Payout
from tests.support import database, fake_provider
from tests.support.fake_provider import Answer, FakeProvider
from tests.support.turns import assert_asked_in_six_hours, process_again

pytestmark = pytest.mark.django_db


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
