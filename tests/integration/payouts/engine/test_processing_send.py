from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal

import pytest
from django.conf import settings
from django.db.models.functions import Now

from payouts.engine import pauses, processing, retries
from payouts.models import Pause, Payout
from payouts.providers import base
from payouts.states import PayoutStatus
from tests.support import database, fake_provider
from tests.support.fake_provider import Answer, FakeProvider

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Outcome:
    """What one attempt to send leads to."""

    answer: Answer
    status: str
    outcome: str
    code: str
    reason: str
    #: Bounds of when it is due next; None: nothing is left to do.
    due_in: tuple[float, float] | None


def truncated(instruction: base.Instruction) -> base.Report:
    fields: dict[str, base.Report] = {}
    return fields["kind"]


OUTCOMES = {
    "paid": Outcome(fake_provider.PAID, "paid", "paid", "", "provider: paid", None),
    # Not final: asked again within 2 s.
    "accepted": Outcome(fake_provider.ACCEPTED, "submitted", "accepted", "", "provider: accepted", (0.1, 2)),
    "rejected": Outcome(
        fake_provider.REJECTED,
        "failed",
        "rejected",
        "invalid_account",
        "provider: rejected, invalid_account: The account number is malformed.",
        None,
    ),
    # Certainly not sent: back to pending, and tried again within 5 s.
    "unavailable": Outcome(
        fake_provider.UNAVAILABLE,
        "pending",
        "not_sent",
        "connection_refused",
        "provider: not_sent, connection_refused: The provider cannot be reached.",
        (0.1, 5),
    ),
    "unknown": Outcome(
        fake_provider.UNKNOWN,
        "unknown",
        "unknown",
        "timeout",
        "provider: unknown, timeout: No answer in time.",
        (0.1, 2),
    ),
    # It answers a send as if it had been asked: that tells nothing.
    "not found": Outcome(fake_provider.NOT_FOUND, "unknown", "not_found", "", "provider: not_found", (0.1, 2)),
    # Whatever breaks may break after the money moved.
    "defect": Outcome(
        truncated,
        "unknown",
        "unknown",
        "unexpected_error",
        "provider: unknown, unexpected_error: KeyError",
        (0.1, 2),
    ),
    "reset": Outcome(
        ConnectionResetError("reset by peer"),
        "unknown",
        "unknown",
        "unexpected_error",
        "provider: unknown, unexpected_error: ConnectionResetError",
        (0.1, 2),
    ),
}


class TestSend:
    @pytest.mark.parametrize("name", list(OUTCOMES))
    def test_settles_by_the_evidence(self, provider: FakeProvider, live_payout: Payout, name: str) -> None:
        expected = OUTCOMES[name]
        provider.on_send(expected.answer)

        processing.process(live_payout.pk)

        payout = Payout.objects.get()
        assert payout.status == expected.status
        assert (payout.lease_token, payout.lease_expires_at) == (None, None)
        assert payout.attempts_count == 1
        assert database.history(payout)[1:] == [
            ("pending", "processing", "worker", "claimed"),
            ("processing", expected.status, "worker", expected.reason),
        ]
        assert database.attempts(payout) == [(1, "send", expected.outcome, expected.code)]
        assert provider.kinds == ["send"]
        due_in = database.due_in_seconds(payout)
        if expected.due_in is None:
            assert due_in is None
        else:
            assert due_in is not None
            assert expected.due_in[0] < due_in < expected.due_in[1]

    def test_tells_the_provider_what_to_pay(self, provider: FakeProvider, live_payout: Payout) -> None:
        processing.process(live_payout.pk)

        assert provider.calls[0].instruction == base.Instruction(
            reference=str(live_payout.pk),
            amount=Decimal("10.50"),
            currency="EUR",
            recipient_details={"name": "Jane Doe", "account": "sandbox_paid"},
            attempt=1,
            age_seconds=0.0,
        )

    def test_keeps_the_providers_own_reference(self, provider: FakeProvider, live_payout: Payout) -> None:
        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.provider_reference == "fake-1"
        assert live_payout.failure_code == ""

    def test_says_why_it_failed(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.REJECTED)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.failure_code == "invalid_account"
        assert live_payout.failure_message == "The account number is malformed."

    def test_attempt_has_a_beginning_and_an_end(self, provider: FakeProvider, live_payout: Payout) -> None:
        processing.process(live_payout.pk)

        attempt = live_payout.attempts.get()
        assert attempt.finished_at is not None
        assert live_payout.created_at < attempt.started_at < attempt.finished_at

    def test_holds_a_lease_while_it_sends(self, provider: FakeProvider, live_payout: Payout) -> None:
        seen: list[Payout] = []

        def look(instruction: base.Instruction) -> base.Report:
            seen.append(Payout.objects.get())
            return fake_provider.PAID

        provider.on_send(look)

        processing.process(live_payout.pk)

        assert seen[0].status == "processing"
        assert seen[0].lease_token is not None
        assert seen[0].lease_expires_at == seen[0].due_at
        assert seen[0].lease_expires_at is not None
        assert (seen[0].lease_expires_at - seen[0].updated_at).total_seconds() == settings.LEASE_SECONDS

    def test_words_that_the_database_does_not_take_lose_no_verdict(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        provider.on_send(base.Rejected("closed\x00" + "c" * 100, "gone\ud800\x00" + "m" * 600))

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.status == "failed"
        assert live_payout.failure_code == "closed " + "c" * 57
        assert live_payout.failure_message == "gone " + "m" * 495


class TestNothingToDo:
    @pytest.mark.parametrize("status", [PayoutStatus.FAILED, PayoutStatus.CANCELED, PayoutStatus.RETURNED])
    def test_leaves_what_is_not_for_machines(
        self, provider: FakeProvider, live_payout: Payout, status: PayoutStatus
    ) -> None:
        database.put_into(live_payout, status)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.version, live_payout.attempts_count) == (status, 1, 0)
        assert provider.calls == []

    def test_a_second_ring_finds_nothing(self, provider: FakeProvider, live_payout: Payout) -> None:
        processing.process(live_payout.pk)

        processing.process(live_payout.pk)

        assert provider.kinds == ["send"]
        assert database.statuses(live_payout) == ["pending", "processing", "paid"]

    def test_a_payout_that_does_not_exist_is_no_error(self, provider: FakeProvider) -> None:
        processing.process(uuid.uuid4())

        assert provider.calls == []


class TestNotSent:
    def test_is_not_tried_again_before_its_time(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNAVAILABLE, fake_provider.PAID)
        processing.process(live_payout.pk)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.status == "pending"
        assert provider.kinds == ["send"]

    def test_is_paid_when_the_provider_is_back(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNAVAILABLE, fake_provider.UNAVAILABLE, fake_provider.PAID)

        for _ in range(3):
            processing.process(live_payout.pk)
            database.make_due(live_payout)

        assert database.statuses(live_payout) == [
            "pending",
            *("processing", "pending"),
            *("processing", "pending"),
            *("processing", "paid"),
        ]
        assert database.attempts(live_payout) == [
            (1, "send", "not_sent", "connection_refused"),
            (2, "send", "not_sent", "connection_refused"),
            (3, "send", "paid", ""),
        ]
        assert {call.instruction.reference for call in provider.calls} == {str(live_payout.pk)}
        assert [call.instruction.attempt for call in provider.calls] == [1, 2, 3]

    def test_waits_longer_each_time(self, provider: FakeProvider, live_payout: Payout) -> None:
        # Else its circuit would open, and hold the payout back for another reason.
        provider.promise(fails_as_a_whole=False)
        provider.on_send(fake_provider.UNAVAILABLE)
        for _ in range(12):
            database.make_due(live_payout)
            processing.process(live_payout.pk)

        due_in = database.due_in_seconds(live_payout)

        assert due_in is not None
        assert 10 < due_in <= retries.DELAY_MAX_SECONDS

    def test_does_not_use_up_the_providers_time(self, provider: FakeProvider, live_payout: Payout) -> None:
        """A provider that was down for hours took the payout just now: it has its whole time to settle it."""
        provider.on_send(fake_provider.UNAVAILABLE, fake_provider.ACCEPTED)
        provider.on_ask(fake_provider.ACCEPTED)
        processing.process(live_payout.pk)
        database.age(live_payout, seconds=2 * provider.capabilities.settle_time_seconds)

        for _ in range(2):
            database.make_due(live_payout)
            processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.status == "submitted"
        assert [call.instruction.age_seconds < 60 for call in provider.calls] == [True, True, True]

    def test_fails_after_a_day(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNAVAILABLE)
        processing.process(live_payout.pk)
        database.age(live_payout, seconds=retries.NOT_SENT_GIVE_UP_SECONDS)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.status == "failed"
        assert live_payout.failure_code == "provider_unavailable"
        assert live_payout.failure_message == "The provider cannot be reached."
        assert live_payout.due_at is None
        assert provider.kinds == ["send", "send"]

    def test_does_not_count_the_time_under_a_pause(self, provider: FakeProvider, live_payout: Payout) -> None:
        """Tried once, then paused for a day: it has not been tried for a day."""
        provider.on_send(fake_provider.UNAVAILABLE)
        processing.process(live_payout.pk)
        database.age(live_payout, seconds=retries.NOT_SENT_GIVE_UP_SECONDS)
        begun = pauses.pause(pauses.Scope(), actor="operator:ada", reason="maintenance")
        Pause.objects.filter(pk=begun.pk).update(ended_at=Now())
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (provider.kinds, live_payout.status) == (["send", "send"], "pending")

    def test_goes_on_just_before_a_day_is_over(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNAVAILABLE)
        processing.process(live_payout.pk)
        database.age(live_payout, seconds=retries.NOT_SENT_GIVE_UP_SECONDS - 60)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.failure_code) == ("pending", "")
