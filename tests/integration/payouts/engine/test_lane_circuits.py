"""Failures of one merchant hold that merchant alone."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import Merchant
from payouts.engine import circuits, claims, lane_circuits, processing, rounds
from payouts.engine.lanes import Group
from payouts.models import LaneCircuit, Payout, ProviderCircuit
from payouts.providers import base
from payouts.states import AttemptKind
from tests.support import database, fake_provider, racing
from tests.support.fake_provider import FakeProvider

MakePayout = Callable[..., Payout]

LIVE_SENDS = Group(AttemptKind.SEND, "fake", "live")


def fail(provider: FakeProvider, make_payout: MakePayout, times: int) -> list[Payout]:
    """Let so many payouts, one after the other, stay without an answer."""
    provider.on_send(fake_provider.UNKNOWN)
    payouts = [make_payout() for _ in range(times)]
    for payout in payouts:
        processing.process(payout.pk)
    return payouts


def let_its_time_come() -> None:
    LaneCircuit.objects.update(retry_at=Now() - timedelta(seconds=1))


def retry_in_seconds() -> float:
    lane = LaneCircuit.objects.annotate(retry_in=F("retry_at") - Now()).get()
    return float(lane.retry_in.total_seconds())


def make_held_lane(provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout) -> None:
    """globex gets through, and five payouts of acme do not."""
    provider.on_send(fake_provider.PAID)
    processing.process(make_globex_payout().pk)
    fail(provider, make_live_payout, lane_circuits.FAILURES_MAX)


@pytest.fixture
def held_lane(provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout) -> LaneCircuit:
    make_held_lane(provider, make_live_payout, make_globex_payout)
    return LaneCircuit.objects.get()


@pytest.mark.django_db
class TestHolding:
    def test_holds_the_merchant_alone(
        self, provider: FakeProvider, acme: Merchant, make_live_payout: MakePayout, make_globex_payout: MakePayout,
        caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        make_held_lane(provider, make_live_payout, make_globex_payout)
        held_lane = LaneCircuit.objects.get()
        provider.on_send(fake_provider.PAID)
        held, free = make_live_payout(), make_globex_payout()

        rounds.run()
        processing.process(held.pk)

        assert (held_lane.merchant_id, held_lane.provider, held_lane.mode) == (acme.pk, "fake", "live")
        assert (held_lane.failures_count, held_lane.opened_at is not None) == (5, True)
        assert 5 < retry_in_seconds() <= 10
        assert database.statuses(held) == ["pending"]
        assert database.statuses(free)[-1] == "paid"
        assert circuits.of("fake").state is circuits.State.CLOSED
        told = [record for record in caplog.records if record.message.endswith("circuit.opened")]
        assert [(record.levelno, record.message, record.__dict__["merchant_id"]) for record in told] == [
            (logging.WARNING, "lane.circuit.opened", str(acme.pk))
        ]

    def test_does_not_by_four(
        self, provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout
    ) -> None:
        fail(provider, make_globex_payout, 0)
        fail(provider, make_live_payout, lane_circuits.FAILURES_MAX - 1)

        assert (LaneCircuit.objects.get().failures_count, LaneCircuit.objects.get().opened_at) == (4, None)

    def test_does_not_by_one_payout_again_and_again(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNAVAILABLE)
        for _ in range(2 * lane_circuits.FAILURES_MAX):
            database.make_due(live_payout)
            processing.process(live_payout.pk)

        assert len(provider.calls) == 10
        assert (LaneCircuit.objects.get().failures_count, LaneCircuit.objects.get().opened_at) == (1, None)

    def test_begins_again_after_an_answer(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        fail(provider, make_live_payout, 4)
        provider.on_send(fake_provider.REJECTED)

        processing.process(make_live_payout().pk)

        assert not LaneCircuit.objects.exists()

    def test_holds_nothing_of_its_test_mode(self, held_lane: LaneCircuit, make_payout: MakePayout) -> None:
        payout = make_payout()

        rounds.run()

        assert database.statuses(payout)[-1] == "paid"

    @pytest.mark.usefixtures("held_lane")
    def test_lets_questions_go_on_and_sends_nothing_again(self, provider: FakeProvider) -> None:
        provider.on_ask(fake_provider.NOT_FOUND)
        unknown = Payout.objects.filter(status="unknown").earliest("created_at")
        database.make_due(unknown)

        processing.process(unknown.pk)

        assert provider.kinds[-1] == "ask"
        assert database.statuses(unknown)[-1] == "unknown"

    def test_is_of_the_provider_if_no_other_merchant_has_sent_lately(
        self, provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout
    ) -> None:
        earlier = make_globex_payout()
        processing.process(earlier.pk)
        database.age(earlier, seconds=circuits.SENDERS_SECONDS + 1)

        fail(provider, make_live_payout, circuits.FAILURES_MAX)

        assert circuits.of("fake").state is circuits.State.OPEN_FOR_ONE
        assert not LaneCircuit.objects.exists()


@pytest.mark.django_db
class TestTrial:
    def test_is_one_payout_and_ends_it(
        self, provider: FakeProvider, held_lane: LaneCircuit, make_live_payout: MakePayout
    ) -> None:
        payouts = [make_live_payout() for _ in range(4)]
        provider.on_send(fake_provider.PAID)
        let_its_time_come()

        claimed = [claims.claim_due(LIVE_SENDS, places=16).claims for _ in range(2)]
        assert [len(each) for each in claimed] == [1, 0]
        processing.record([(claim, processing.call(claim)) for claim in claimed[0]])
        rounds.run()

        assert not LaneCircuit.objects.exists()
        assert {database.statuses(payout)[-1] for payout in payouts} == {"paid"}

    def test_that_fails_doubles_the_delay(
        self, provider: FakeProvider, held_lane: LaneCircuit, make_live_payout: MakePayout
    ) -> None:
        seconds = []
        for _ in range(6):
            let_its_time_come()
            make_live_payout()
            rounds.run()
            seconds.append(round(retry_in_seconds(), -1))

        assert seconds == [20, 40, 80, 160, 300, 300]
        assert LaneCircuit.objects.get().opened_at == held_lane.opened_at
        assert circuits.of("fake").state is circuits.State.FAILING

    def test_of_a_worker_that_died_is_followed_by_another(
        self, provider: FakeProvider, held_lane: LaneCircuit, make_live_payout: MakePayout
    ) -> None:
        let_its_time_come()
        provider.on_send(fake_provider.WorkerKilled())
        with pytest.raises(fake_provider.WorkerKilled):
            processing.process(make_live_payout().pk)
        assert 60 < retry_in_seconds() <= 90
        let_its_time_come()
        provider.on_send(fake_provider.PAID)

        processing.process(make_live_payout().pk)

        assert not LaneCircuit.objects.exists()


@pytest.mark.django_db
class TestBystander:
    def test_is_served_as_if_it_were_alone(
        self, provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout, settings: Any
    ) -> None:
        settings.WORKER_CALLS = 4
        poison = make_live_payout().merchant_id

        def send(instruction: base.Instruction) -> base.Report:
            if instruction.recipient_details["account"] == "poison":  # type: ignore[index] # It is an object.
                raise fake_provider.UNAVAILABLE
            return fake_provider.PAID

        provider.on_send(send)
        payouts = [(make_live_payout(account="poison"), make_globex_payout()) for _ in range(20)]

        rounds.run()

        assert {database.statuses(bystander)[-1] for _, bystander in payouts} == {"paid"}
        of_merchants = Counter(Payout.objects.filter(attempts_count__gt=0).values_list("merchant_id", flat=True))
        # Five, and what was under way when the fifth came back.
        assert of_merchants[poison] <= lane_circuits.FAILURES_MAX + settings.WORKER_CALLS
        assert ProviderCircuit.objects.get().opened_at is None


@pytest.mark.django_db(transaction=True)
def test_one_of_many_workers_takes_the_trial(
    provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout
) -> None:
    make_held_lane(provider, make_live_payout, make_globex_payout)
    payouts = [make_live_payout() for _ in range(8)]
    provider.calls.clear()
    let_its_time_come()

    racing.run_together(*[lambda payout=payout: processing.process(payout.pk) for payout in payouts])

    assert provider.kinds == ["send"]
    assert LaneCircuit.objects.get().failures_count == lane_circuits.FAILURES_MAX + 1


@pytest.mark.django_db
@pytest.mark.parametrize("times", [{"opened_at": None}, {"retry_at": None}])
def test_the_database_keeps_a_circuit_whole(acme: Merchant, times: dict[str, None]) -> None:
    row = {"provider": "fake", "mode": "live", "merchant": acme, "opened_at": Now(), "retry_at": Now(), **times}

    assert database.refused_by(lambda: LaneCircuit.objects.create(**row)) == "lane_circuit_whole"
