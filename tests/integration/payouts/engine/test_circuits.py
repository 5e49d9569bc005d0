"""A provider in trouble is left alone, then tried with one payout, and only then given the others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models.functions import Now

from payouts.engine import circuits, pauses, processing, retries, rounds
from payouts.engine.lanes import Group
from payouts.models import Payout, PayoutAttempt, ProviderCircuit
from payouts.providers import base
from payouts.providers.http_bank import responses
from payouts.states import AttemptKind
from tests.support import database, fake_provider, racing, telling
from tests.support.circuit import fail, let_its_time_come, retry_in_seconds
from tests.support.fake_provider import Answer, FakeProvider

MakePayout = Callable[..., Payout]

LIVE_SENDS = Group(AttemptKind.SEND, "fake", "live")


@pytest.mark.django_db
class TestOpening:
    @pytest.mark.parametrize("answer", [fake_provider.UNAVAILABLE, fake_provider.UNKNOWN, TimeoutError()])
    def test_five_payouts_in_a_row_open_it(
        self, provider: FakeProvider, make_live_payout: MakePayout, caplog: pytest.LogCaptureFixture, answer: Answer
    ) -> None:
        payouts = fail(provider, make_live_payout, circuits.FAILURES_MAX, answer)

        circuit = ProviderCircuit.objects.get()
        assert (circuit.provider, circuit.failures_count, circuit.failed_payout_id) == ("fake", 5, payouts[-1].pk)
        assert circuit.opened_at is not None
        assert 5 < retry_in_seconds() <= retries.CIRCUIT_FIRST_SECONDS
        told = [record for record in caplog.records if record.message == "provider.circuit.opened"]
        assert [(record.levelno, record.__dict__["provider"]) for record in told] == [(logging.ERROR, "fake")]

    def test_a_provider_that_lets_nobody_in_is_in_trouble(
        self, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        """401 or 403 to everything must not make `unknown` of the whole queue."""

        def send(instruction: base.Instruction) -> base.Report:
            return responses.read_send(responses.Answer(403, b"<html>"), instruction)

        fail(provider, make_live_payout, circuits.FAILURES_MAX, send)

        assert circuits.of("fake").state is circuits.State.OPEN_FOR_ONE

    def test_four_do_not(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        fail(provider, make_live_payout, circuits.FAILURES_MAX - 1, fake_provider.UNAVAILABLE)

        circuit = ProviderCircuit.objects.get()
        assert (circuit.failures_count, circuit.opened_at, circuit.retry_at) == (4, None, None)
        assert circuits.of("fake").state is circuits.State.FAILING

    @pytest.mark.parametrize(
        "answer", [fake_provider.PAID, fake_provider.ACCEPTED, fake_provider.REJECTED, fake_provider.NOT_FOUND]
    )
    def test_one_that_got_through_between_them_begins_the_count_anew(
        self, provider: FakeProvider, make_live_payout: MakePayout, answer: Answer
    ) -> None:
        fail(provider, make_live_payout, circuits.FAILURES_MAX - 1, fake_provider.UNAVAILABLE)
        fail(provider, make_live_payout, 1, answer)

        fail(provider, make_live_payout, circuits.FAILURES_MAX - 1, fake_provider.UNAVAILABLE)

        assert ProviderCircuit.objects.get().failures_count == 4
        assert circuits.of("fake").state is circuits.State.FAILING

    def test_one_payout_alone_does_not(self, provider: FakeProvider, live_payout: Payout) -> None:
        """The payout may be what is wrong."""
        provider.on_send(fake_provider.UNAVAILABLE)

        for _ in range(2 * circuits.FAILURES_MAX):
            database.make_due(live_payout)
            processing.process(live_payout.pk)

        assert len(provider.calls) == 2 * circuits.FAILURES_MAX
        assert ProviderCircuit.objects.get().failures_count == 1

    def test_questions_do_not_count(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payouts = fail(provider, make_live_payout, 1, fake_provider.UNKNOWN)
        provider.on_ask(fake_provider.UNAVAILABLE)

        for _ in range(circuits.FAILURES_MAX):
            database.make_due(payouts[0])
            processing.process(payouts[0].pk)

        assert provider.kinds == ["send"] + ["ask"] * circuits.FAILURES_MAX
        assert ProviderCircuit.objects.get().failures_count == 1

    def test_what_was_never_called_does_not_count(
        self, provider: FakeProvider, make_live_payout: MakePayout, settings: Any
    ) -> None:
        settings.LEASE_SECONDS = 0
        fail(provider, make_live_payout, 1, fake_provider.UNAVAILABLE)

        assert provider.calls == []
        assert ProviderCircuit.objects.count() == 0

    def test_a_provider_whose_payouts_fail_each_for_itself_has_none(self, make_payout: MakePayout) -> None:
        """The sandbox does as each payout's account says."""
        for _ in range(circuits.FAILURES_MAX + 1):
            processing.process(make_payout(account="sandbox_unavailable_9").pk)

        assert ProviderCircuit.objects.count() == 0
        assert PayoutAttempt.objects.filter(outcome="not_sent").count() == circuits.FAILURES_MAX + 1


@pytest.mark.django_db
@pytest.mark.usefixtures("open_circuit")
class TestOpen:
    def test_nothing_is_sent(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payout = make_live_payout()
        calls = len(provider.calls)

        processing.process(payout.pk)

        payout.refresh_from_db()
        assert (payout.status, payout.version, payout.attempts_count) == ("pending", 1, 0)
        assert len(provider.calls) == calls

    def test_asking_goes_on(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payout = make_live_payout()
        telling.tell(payout.pk, "accepted")
        provider.on_ask(fake_provider.PAID)
        database.make_due(payout)

        processing.process(payout.pk)

        payout.refresh_from_db()
        assert payout.status == "paid"
        # That it answers questions does not tell that it takes orders.
        assert circuits.of("fake").state is circuits.State.OPEN_FOR_ONE

    def test_nothing_is_sent_again(self, provider: FakeProvider) -> None:
        """Unknown from before it opened, and the provider says that it does not know it."""
        provider.on_ask(fake_provider.NOT_FOUND)
        payout = Payout.objects.earliest("created_at")
        Payout.objects.filter(pk=payout.pk).update(status="processing")
        Payout.objects.filter(pk=payout.pk).update(status="unknown", first_sent_at=Now())
        database.make_due(payout)

        processing.process(payout.pk)

        assert provider.kinds[-1] == "ask"
        payout.refresh_from_db()
        assert payout.status == "unknown"

    def test_other_providers_are_not_concerned(self, make_payout: MakePayout) -> None:
        payout = make_payout()

        processing.process(payout.pk)

        payout.refresh_from_db()
        assert payout.status == "paid"

    def test_a_failure_that_began_before_says_nothing_new(
        self, provider: FakeProvider, open_circuit: ProviderCircuit, live_payout: Payout
    ) -> None:
        circuits.record_failure(live_payout, is_trial=False, is_lane_trial=False)

        circuit = ProviderCircuit.objects.get()
        assert (circuit.failures_count, circuit.opened_at, circuit.retry_at) == (
            5,
            open_circuit.opened_at,
            open_circuit.retry_at,
        )

    def test_one_that_began_before_and_got_through_says_nothing_either(
        self, open_circuit: ProviderCircuit, live_payout: Payout
    ) -> None:
        circuits.record_answers("fake", count=1, is_trial=False)

        circuit = ProviderCircuit.objects.get()
        assert (circuit.failures_count, circuit.opened_at) == (5, open_circuit.opened_at)


@pytest.mark.django_db
@pytest.mark.usefixtures("open_circuit")
class TestTrial:
    def test_that_gets_through_closes_it_and_the_others_follow(
        self, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        payouts = [make_live_payout() for _ in range(3)]
        for payout in payouts:
            processing.process(payout.pk)
        let_its_time_come()
        provider.on_send(fake_provider.PAID)

        rounds.run()

        assert circuits.of("fake").state is circuits.State.RECOVERING
        assert set(Payout.objects.filter(status="paid")) == set(payouts)

    def test_that_fails_leaves_it_alone_for_twice_as_long(
        self, provider: FakeProvider, make_live_payout: MakePayout, caplog: pytest.LogCaptureFixture
    ) -> None:
        opened_at = ProviderCircuit.objects.get().opened_at
        seconds = []
        for _ in range(7):
            let_its_time_come()
            processing.process(make_live_payout().pk)
            seconds.append(round(retry_in_seconds(), -1))

        assert seconds == [20, 40, 80, 160, 300, 300, 300]
        assert ProviderCircuit.objects.get().opened_at == opened_at
        # It is one outage, and was told when it began.
        assert "provider.circuit.opened" not in caplog.messages

    def test_is_one_payout(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        """While it is under way the others wait, for as long as its lease lasts."""
        trial, other = make_live_payout(), make_live_payout()
        seen: list[tuple[str, bool]] = []

        def send(instruction: base.Instruction) -> base.Report:
            processing.process(other.pk)
            seen.append((Payout.objects.get(pk=other.pk).status, 60 < retry_in_seconds() <= 90))
            return fake_provider.PAID

        provider.on_send(send)
        calls = len(provider.calls)
        let_its_time_come()

        processing.process(trial.pk)

        assert seen == [("pending", True)]
        assert len(provider.calls) == calls + 1

    def test_of_a_worker_that_died_is_followed_by_another(
        self, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        let_its_time_come()
        provider.on_send(fake_provider.WorkerKilled(), fake_provider.PAID)
        with pytest.raises(fake_provider.WorkerKilled):
            processing.process(make_live_payout().pk)
        other = make_live_payout()
        processing.process(other.pk)
        assert database.statuses(other) == ["pending"]
        let_its_time_come()

        processing.process(other.pk)

        assert database.statuses(other)[-1] == "paid"
        assert circuits.of("fake").state is circuits.State.RECOVERING

    def test_may_be_a_second_send(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payout = make_live_payout()
        Payout.objects.filter(pk=payout.pk).update(status="processing")
        Payout.objects.filter(pk=payout.pk).update(status="unknown", first_sent_at=Now())
        provider.on_ask(fake_provider.NOT_FOUND)
        provider.on_send(fake_provider.PAID)
        let_its_time_come()

        processing.process(payout.pk)

        payout.refresh_from_db()
        assert payout.status == "paid"
        assert circuits.of("fake").state is circuits.State.RECOVERING

    def test_is_of_another_merchant_than_the_last_that_failed(
        self, provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout
    ) -> None:
        failed_last, other = make_live_payout(), make_globex_payout()
        database.make_due(failed_last, seconds=3600)
        provider.on_send(fake_provider.UNAVAILABLE)
        let_its_time_come()

        processing.process(failed_last.pk)
        rounds.run()

        assert database.statuses(failed_last) == ["pending"]
        assert database.attempts(other) == [(1, "send", "not_sent", "connection_refused")]
        # The next one is not of the merchant of this one.
        let_its_time_come()
        make_globex_payout()
        rounds.run()
        assert database.attempts(failed_last) == [(1, "send", "not_sent", "connection_refused")]

    def test_is_of_the_same_merchant_if_no_other_waits(
        self, provider: FakeProvider, live_payout: Payout, make_globex_payout: MakePayout
    ) -> None:
        held = make_globex_payout()
        pauses.pause(pauses.Scope(merchant=held.merchant), actor="operator:ada", reason="maintenance")
        provider.on_send(fake_provider.PAID)
        let_its_time_come()

        rounds.run()

        assert database.statuses(live_payout)[-1] == "paid"
        assert database.statuses(held) == ["pending"]


@pytest.mark.django_db(transaction=True)
class TestRaces:
    WORKERS = 20

    def test_one_of_many_workers_takes_the_trial(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        fail(provider, make_live_payout, circuits.FAILURES_MAX, fake_provider.UNAVAILABLE)
        payouts = [make_live_payout() for _ in range(self.WORKERS)]
        provider.on_send(fake_provider.UNKNOWN)
        provider.calls.clear()
        let_its_time_come()

        racing.run_together(*[lambda payout=payout: processing.process(payout.pk) for payout in payouts])

        assert provider.kinds == ["send"]
        attempted = Payout.objects.filter(pk__in=[payout.pk for payout in payouts], attempts_count=1)
        assert [(payout.status, str(payout.pk)) for payout in attempted] == [
            ("unknown", provider.calls[0].instruction.reference)
        ]
        # A worker that lost the race leaves no trace.
        assert Payout.objects.filter(status="pending", attempts_count=0).count() == 19
        assert ProviderCircuit.objects.get().failures_count == circuits.FAILURES_MAX + 1

    def test_failures_at_once_are_all_counted(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        provider.on_send(fake_provider.UNAVAILABLE)
        payouts = [make_live_payout() for _ in range(circuits.FAILURES_MAX)]

        racing.run_together(*[lambda payout=payout: processing.process(payout.pk) for payout in payouts])

        assert len(provider.calls) == circuits.FAILURES_MAX
        circuit = ProviderCircuit.objects.get()
        assert (circuit.failures_count, circuit.opened_at is not None) == (circuits.FAILURES_MAX, True)


@pytest.mark.django_db
@pytest.mark.parametrize("times", [{"opened_at": None}, {"retry_at": None}])
def test_the_database_keeps_a_circuit_whole(times: dict[str, None]) -> None:
    row = {"provider": "fake", "opened_at": Now(), "retry_at": Now(), **times}

    assert database.refused_by(lambda: ProviderCircuit.objects.create(**row)) == "provider_circuit_whole"
