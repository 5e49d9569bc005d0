"""Workers that die or stall. The invariant: never paid twice, never failed where money may have moved."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now

from payouts import services
from payouts.engine import claims, evidence, leases, outcomes, processing, sweep
from payouts.models import Payout
from payouts.providers import base
from payouts.states import AttemptOutcome
from tests.support import database, factories, fake_provider
from tests.support.fake_provider import Answer, FakeProvider, WorkerKilled

pytestmark = pytest.mark.django_db

OUTCOME_OF = {
    base.OutcomeUnknown: AttemptOutcome.UNKNOWN,
    base.Unavailable: AttemptOutcome.NOT_SENT,
    base.Rejected: AttemptOutcome.REJECTED,
}


@pytest.fixture
def abandoned_payout(provider: FakeProvider, live_payout: Payout) -> Payout:
    """Its worker died while it was sending, and its lease has run out."""
    provider.on_send(WorkerKilled())
    with pytest.raises(WorkerKilled):
        processing.process(live_payout.pk)
    database.expire_lease(live_payout)
    return live_payout


def stall(payout: Payout, *, then: Answer) -> Answer:
    """Return an answer that comes when the lease has run out and another worker has taken the payout a step on."""

    def answer(instruction: base.Instruction) -> base.Report:
        database.expire_lease(payout)
        processing.process(payout.pk)
        if isinstance(then, base.Report):
            return then
        assert isinstance(then, base.ProviderError)
        raise then

    return answer


class TestDeadWorker:
    def test_nobody_touches_it_while_the_lease_lasts(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(WorkerKilled())
        with pytest.raises(WorkerKilled):
            processing.process(live_payout.pk)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.status == "processing"
        assert provider.kinds == ["send"]

    def test_is_asked_about_and_never_sent_again(self, provider: FakeProvider, abandoned_payout: Payout) -> None:
        processing.process(abandoned_payout.pk)

        assert provider.kinds == ["send", "ask"]
        assert database.history(abandoned_payout)[1:] == [
            ("pending", "processing", "worker", "claimed"),
            (
                "processing",
                "unknown",
                "worker",
                "the lease ran out: the worker may have sent it before it died",
            ),
            ("unknown", "paid", "worker", "provider: paid"),
        ]
        # The attempt of the dead worker keeps no outcome: nobody knows it.
        assert database.attempts(abandoned_payout) == [(1, "send", "", ""), (2, "ask", "paid", "")]

    def test_is_sent_again_only_where_the_provider_does_not_know_it(
        self, provider: FakeProvider, abandoned_payout: Payout
    ) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(fake_provider.PAID)

        processing.process(abandoned_payout.pk)

        assert provider.kinds == ["send", "ask", "send"]
        assert database.statuses(abandoned_payout) == [
            "pending",
            "processing",
            "unknown",
            "processing",
            "paid",
        ]

    def test_is_not_sent_again_outside_the_window(self, provider: FakeProvider, abandoned_payout: Payout) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)
        database.age(abandoned_payout, seconds=24 * 3600)

        processing.process(abandoned_payout.pk)

        abandoned_payout.refresh_from_db()
        assert provider.kinds == ["send", "ask"]
        assert abandoned_payout.status == "requires_attention"

    def test_that_was_asking_is_replaced(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(WorkerKilled(), fake_provider.PAID)
        processing.process(live_payout.pk)
        database.make_due(live_payout)
        with pytest.raises(WorkerKilled):
            processing.process(live_payout.pk)
        database.expire_lease(live_payout)

        processing.process(live_payout.pk)

        assert provider.kinds == ["send", "ask", "ask"]
        assert database.statuses(live_payout) == ["pending", "processing", "unknown", "paid"]


class TestClockSetBack:
    """The database's clock was ahead when the lease was taken, so the lease ends later than any lease can."""

    @staticmethod
    def put_lease_ahead(payout: Payout, *, seconds: float) -> None:
        ahead = Now() + timedelta(seconds=seconds)
        Payout.objects.filter(pk=payout.pk).update(lease_expires_at=ahead, due_at=ahead)

    @pytest.mark.parametrize(("seconds", "status"), [(899, "processing"), (901, "unknown")])
    def test_does_not_keep_a_payout_processing(
        self, provider: FakeProvider, abandoned_payout: Payout, seconds: float, status: str
    ) -> None:
        self.put_lease_ahead(abandoned_payout, seconds=seconds)

        leases.expire(at_most=10)

        assert database.statuses(abandoned_payout)[-1] == status

    def test_does_not_put_a_question_off(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(WorkerKilled(), fake_provider.PAID)
        processing.process(live_payout.pk)
        database.make_due(live_payout)
        with pytest.raises(WorkerKilled):
            processing.process(live_payout.pk)
        self.put_lease_ahead(live_payout, seconds=86_400)

        sweep.sweep()
        processing.process(live_payout.pk)

        assert database.statuses(live_payout)[-1] == "paid"

    def test_frees_its_place(self, provider: FakeProvider, abandoned_payout: Payout, live_key: Any) -> None:
        provider.promise(concurrency_max=1)
        provider.on_send(fake_provider.PAID)
        other = services.create_payout(api_key=live_key, idempotency_key=None, **factories.payout_fields())
        self.put_lease_ahead(abandoned_payout, seconds=86_400)

        processing.process(other.pk)

        assert database.statuses(other)[-1] == "paid"


class TestFrozenWorker:
    """A process that was frozen between its claim and its call must not call: others may have gone on without it."""

    def test_calls_nobody(self, provider: FakeProvider, live_payout: Payout, settings: Any) -> None:
        settings.LEASE_SECONDS = 0

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.calls == []
        assert database.attempts(live_payout) == [(1, "send", "not_sent", "lease_ran_out")]
        # Nothing was sent, for certain: it is tried again later.
        assert database.statuses(live_payout) == ["pending", "processing", "pending"]
        assert (live_payout.first_sent_at, live_payout.lease_token) == (None, None)

    def test_does_not_send_again(self, provider: FakeProvider, live_payout: Payout, settings: Any) -> None:
        """The first send may have been executed, so it stays unknown."""
        provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)

        def ask(instruction: base.Instruction) -> base.Report:
            settings.LEASE_SECONDS = 0
            return fake_provider.NOT_FOUND

        provider.on_ask(ask)
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["send", "ask"]
        assert live_payout.status == "unknown"
        assert database.attempts(live_payout)[-1] == (3, "send", "not_sent", "lease_ran_out")

    def test_leaves_what_another_one_did(
        self, provider: FakeProvider, live_payout: Payout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is frozen right before its call; another worker finds it expired, asks, sends it again, and it is paid."""
        provider.on_ask(fake_provider.NOT_FOUND)
        clock, frozen = time.clock_gettime, [0.0]
        looks = iter(["claimed", "frozen"])

        def freeze(clock_id: int) -> float:
            if next(looks, "") == "frozen":
                frozen[0] = 1000.0
                database.expire_lease(live_payout)
                # The other one's clock has not stood still, but its claim is a new one.
                processing.process(live_payout.pk)
            return clock(clock_id) + frozen[0]

        monkeypatch.setattr(time, "clock_gettime", freeze)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["ask", "send"]
        assert (live_payout.status, live_payout.contradicted_at) == ("paid", None)
        assert database.attempts(live_payout) == [
            (1, "send", "not_sent", "lease_ran_out"),
            (2, "ask", "not_found", ""),
            (3, "send", "paid", ""),
        ]

    def test_was_frozen_within_its_claim(self, provider: FakeProvider, live_payout: Payout, settings: Any) -> None:
        """The lease runs from the claim's first statement on, so its own watch does too."""
        settings.LEASE_SECONDS = 0.1
        connection.check_constraints()
        # Undone with the test's transaction.
        database.execute(
            "CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(0.15); RETURN NEW; END $$"
        )
        database.execute(
            "CREATE TRIGGER stand_still BEFORE INSERT ON payouts_payoutattempt "
            "FOR EACH ROW EXECUTE FUNCTION stand_still()"
        )

        processing.process(live_payout.pk)

        assert provider.calls == []
        assert database.attempts(live_payout) == [(1, "send", "not_sent", "lease_ran_out")]


class TestLateEvidence:
    @pytest.mark.parametrize(
        ("late", "status"),
        [
            (fake_provider.PAID, "paid"),
            (fake_provider.ACCEPTED, "submitted"),
            (fake_provider.REJECTED, "failed"),
        ],
    )
    def test_is_applied(self, provider: FakeProvider, live_payout: Payout, late: Answer, status: str) -> None:
        provider.on_send(stall(live_payout, then=late))
        provider.on_ask(fake_provider.UNKNOWN)

        processing.process(live_payout.pk)

        assert provider.kinds == ["send", "ask"]
        assert database.statuses(live_payout) == ["pending", "processing", "unknown", status]
        reason = database.history(live_payout)[-1][3]
        assert reason.startswith("late evidence: provider: ")

    def test_is_applied_before_anybody_noticed_the_lost_lease(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        def answer(instruction: base.Instruction) -> base.Report:
            database.expire_lease(live_payout)
            return fake_provider.PAID

        provider.on_send(answer)

        processing.process(live_payout.pk)

        assert database.statuses(live_payout) == ["pending", "processing", "paid"]

    def test_that_shows_nothing_leaves_the_lease_of_the_next_worker_alone(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        def answer(instruction: base.Instruction) -> base.Report:
            database.expire_lease(live_payout)
            with pytest.raises(WorkerKilled):
                processing.process(live_payout.pk)
            live_payout.refresh_from_db()
            raise base.OutcomeUnknown("timeout")

        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(answer, WorkerKilled())
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        assert provider.kinds == ["send", "ask", "ask"]
        assert live_payout.lease_token is not None
        assert Payout.objects.get(pk=live_payout.pk).lease_token == live_payout.lease_token

    @pytest.mark.parametrize("late", [fake_provider.UNKNOWN, fake_provider.UNAVAILABLE])
    def test_that_shows_nothing_changes_nothing(
        self, provider: FakeProvider, live_payout: Payout, late: Answer
    ) -> None:
        """NOT_SENT comes too late to give the payout back: it is unknown already, and will be asked about."""
        provider.on_send(stall(live_payout, then=late))
        provider.on_ask(fake_provider.UNKNOWN)

        processing.process(live_payout.pk)

        assert database.statuses(live_payout) == ["pending", "processing", "unknown"]
        assert database.attempts(live_payout)[0][2] in {"unknown", "not_sent"}

    def test_that_agrees_changes_nothing(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(stall(live_payout, then=fake_provider.PAID))
        provider.on_ask(fake_provider.PAID)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert database.statuses(live_payout) == ["pending", "processing", "unknown", "paid"]
        assert live_payout.contradicted_at is None

    def test_that_contradicts_changes_nothing_and_is_told(
        self,
        provider: FakeProvider,
        live_payout: Payout,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        provider.on_send(stall(live_payout, then=fake_provider.REJECTED))
        provider.on_ask(fake_provider.PAID)

        with django_capture_on_commit_callbacks(execute=True):
            processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.failure_code) == ("paid", "")
        assert live_payout.contradicted_at is not None
        assert caplog.messages.count("payout.evidence.contradicted") == 1
        # The evidence is on record all the same.
        assert database.attempts(live_payout)[0] == (1, "send", "rejected", "invalid_account")

    def test_a_late_return_goes_through_paid(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(stall(live_payout, then=fake_provider.RETURNED))
        provider.on_ask(fake_provider.UNKNOWN)

        processing.process(live_payout.pk)

        assert database.statuses(live_payout) == ["pending", "processing", "unknown", "paid", "returned"]

    def test_a_late_refusal_says_nothing_of_a_later_send(self, provider: FakeProvider, live_payout: Payout) -> None:
        """The second send may have moved the money, so the first one's refusal must not make it failed."""
        provider.on_send(stall(live_payout, then=fake_provider.REJECTED), fake_provider.UNKNOWN)
        provider.on_ask(fake_provider.NOT_FOUND, fake_provider.PAID)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["send", "ask", "send"]
        assert (live_payout.status, live_payout.failure_code) == ("unknown", "")
        database.make_due(live_payout)
        processing.process(live_payout.pk)
        live_payout.refresh_from_db()
        assert live_payout.status == "paid"

    def test_a_late_payment_ends_a_later_send(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(stall(live_payout, then=fake_provider.PAID), fake_provider.UNKNOWN)
        provider.on_ask(fake_provider.NOT_FOUND)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.status == "paid"
        assert (live_payout.lease_token, live_payout.contradicted_at) == (None, None)

    @pytest.mark.parametrize("late", [fake_provider.UNKNOWN, fake_provider.UNAVAILABLE, fake_provider.REJECTED])
    def test_that_shows_nothing_leaves_a_later_send_alone(
        self, provider: FakeProvider, live_payout: Payout, late: base.ProviderError
    ) -> None:
        """The later one is under way: given back as "not sent", the payout would be sent a third time."""
        stalled = claims.claim_one(live_payout)
        assert stalled is not None
        database.expire_lease(live_payout)
        seen: list[tuple[str, bool]] = []

        def send(instruction: base.Instruction) -> base.Report:
            lease_token = Payout.objects.get().lease_token
            outcomes.record(stalled, evidence.call_provider(fake_provider.raising(late), instruction))
            payout = Payout.objects.get()
            seen.append((payout.status, payout.lease_token == lease_token is not None))
            return fake_provider.PAID

        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(send)

        processing.process(live_payout.pk)

        assert seen == [("processing", True)]
        assert database.statuses(live_payout) == ["pending", "processing", "unknown", "processing", "paid"]
        assert database.attempts(live_payout)[0] == (1, "send", OUTCOME_OF[type(late)], late.code)

    def test_a_stale_look_up_does_not_send_what_was_sent_again_meanwhile(
        self, provider: FakeProvider, live_payout: Payout
    ) -> None:
        """The same payout is unknown again; the worker whose answer is out of date leaves it alone."""
        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(stall(live_payout, then=fake_provider.NOT_FOUND), fake_provider.NOT_FOUND)
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["send", "ask", "ask", "send"]
        assert live_payout.status == "unknown"

    def test_a_stale_look_up_sends_nothing(self, provider: FakeProvider, live_payout: Payout) -> None:
        """A worker that stalled while it asked comes back with "not found" when another one has found it paid."""
        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(stall(live_payout, then=fake_provider.NOT_FOUND), fake_provider.PAID)
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["send", "ask", "ask"]
        assert live_payout.status == "paid"
