"""What follows from a question about a payout whose outcome is unknown."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings

from payouts.engine import processing, retries
from payouts.models import Payout
from payouts.providers import base
from tests.support import database, fake_provider
from tests.support.fake_provider import Answer, FakeProvider
from tests.support.turns import assert_asked_in_six_hours, process_again

pytestmark = pytest.mark.django_db


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
