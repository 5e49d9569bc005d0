"""Unknown, not found, and sent again: how often, how late, and when an operator is called."""

from __future__ import annotations

import pytest

from payouts.engine import retries
from payouts.models import Payout, PayoutAttempt
from payouts.providers import base
from tests.support import database, fake_provider
from tests.support.fake_provider import FakeProvider
from tests.support.turns import assert_asked_in_six_hours, process_again

pytestmark = pytest.mark.django_db


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
