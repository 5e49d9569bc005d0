"""Whose failures open a provider's circuit, whose payout is its trial, and how the sends come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payouts.engine import circuits, claims, processing, retries
from payouts.engine.lanes import Group
from payouts.models import LaneCircuit, Payout, ProviderCircuit
from payouts.providers import base
from payouts.states import AttemptKind
from tests.support import database, fake_provider, telling
from tests.support.circuit import fail, let_its_time_come, retry_in_seconds
from tests.support.fake_provider import FakeProvider

MakePayout = Callable[..., Payout]

LIVE_SENDS = Group(AttemptKind.SEND, "fake", "live")


@pytest.mark.django_db
class TestSeveralMerchants:
    """Failures of one merchant while another gets through are not the provider's: test_lane_circuits.py."""

    def test_open_it_together(
        self, provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout
    ) -> None:
        fail(provider, make_live_payout, 3, fake_provider.UNKNOWN)
        fail(provider, make_globex_payout, 2, fake_provider.UNKNOWN)

        circuit = ProviderCircuit.objects.get()
        assert (circuits.of("fake").state, circuit.failures_count) == (circuits.State.OPEN, 5)
        assert not LaneCircuit.objects.exists()

    def test_do_not_open_it_by_an_accident_beside_the_failures_of_one(
        self, provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout
    ) -> None:
        fail(provider, make_globex_payout, 1, fake_provider.PAID)
        fail(provider, make_live_payout, 4, fake_provider.UNKNOWN)
        fail(provider, make_globex_payout, 1, fake_provider.UNKNOWN)

        assert circuits.of("fake").state is circuits.State.FAILING

    def test_begin_with_ten_seconds_however_many_failed(
        self, provider: FakeProvider, make_live_payout: MakePayout, make_globex_payout: MakePayout
    ) -> None:
        fail(provider, make_globex_payout, 1, fake_provider.PAID)
        circuit = ProviderCircuit.objects.create(
            provider="fake", failures_count=40, failures_of_each={str(make_live_payout().merchant_id): 40}
        )
        fail(provider, make_globex_payout, 2, fake_provider.UNKNOWN)

        circuit.refresh_from_db()
        assert (circuit.failures_count, circuit.opened_at is not None) == (42, True)
        assert 5 < retry_in_seconds() <= retries.CIRCUIT_FIRST_SECONDS


@pytest.mark.django_db
@pytest.mark.usefixtures("open_circuit")
class TestOpenForOne:
    """The only merchant that sent has failed. It says little of the provider, so another merchant need not wait."""

    def test_lets_another_merchant_be_the_trial_at_once(
        self, provider: FakeProvider, live_payout: Payout, make_globex_payout: MakePayout
    ) -> None:
        provider.on_send(fake_provider.PAID)
        trial = make_globex_payout()
        sent = len(provider.calls)

        processing.process(live_payout.pk)
        assert len(provider.calls) == sent
        processing.process(trial.pk)

        assert database.statuses(trial)[-1] == "paid"
        assert circuits.of("fake").state is circuits.State.RECOVERING

    def test_is_open_for_all_while_the_trial_is_under_way_and_after_it_failed(
        self, provider: FakeProvider, make_globex_payout: MakePayout
    ) -> None:
        states = []

        def send(instruction: base.Instruction) -> base.Report:
            states.append(circuits.of("fake").state)
            raise fake_provider.UNAVAILABLE

        provider.on_send(send)
        processing.process(make_globex_payout().pk)
        states.append(circuits.of("fake").state)

        assert states == [circuits.State.OPEN] * 2
        assert 10 < retry_in_seconds() <= 20


@pytest.mark.django_db
@pytest.mark.usefixtures("open_circuit")
class TestRecovery:
    @pytest.mark.parametrize(
        ("concurrency_max", "steps"), [(None, [1, 2, 4, 8, 16, 33]), (8, [1, 2, 4, 8, 8, 8]), (1, [1] * 6)]
    )
    def test_sends_more_at_once_in_steps(
        self, provider: FakeProvider, make_live_payout: MakePayout, concurrency_max: int | None, steps: list[int]
    ) -> None:
        provider.promise(concurrency_max=concurrency_max)
        provider.on_send(fake_provider.PAID)
        for _ in range(sum(steps)):
            make_live_payout()
        let_its_time_come()

        taken = []
        for _ in steps:
            claimed = claims.claim_due(LIVE_SENDS, places=33).claims
            # No more than these, for any claim.
            assert concurrency_max or len(claimed) == 33 or not claims.claim_due(LIVE_SENDS, places=33).claims
            processing.record([(claim, processing.call(claim)) for claim in claimed])
            taken.append(len(claimed))

        assert taken == steps
        assert circuits.of("fake") == circuits.CLOSED

    def test_does_not_speed_up_by_failures(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        ProviderCircuit.objects.update(opened_at=None, retry_at=None, failures_count=0, sends_max=4)

        fail(provider, make_live_payout, 2, fake_provider.UNKNOWN)

        assert circuits.of("fake").sends_max == 4

    def test_does_not_hold_up_questions(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        ProviderCircuit.objects.update(opened_at=None, retry_at=None, failures_count=0, sends_max=2)
        for _ in range(4):
            asked = make_live_payout()
            telling.tell(asked.pk, "accepted")
            database.make_due(asked)

        claimed = claims.claim_due(Group(AttemptKind.ASK, "fake", "live"), places=4).claims

        assert len(claimed) == 4
