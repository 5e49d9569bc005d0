"""How many calls a provider takes at once, who is next when one has ended, and what a payout says while it waits."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now
from django.test import Client

from accounts.models import Merchant
from payouts import services
from payouts.engine import admission, pauses, processing, sweep
from payouts.engine.pauses import Scope
from payouts.models import Payout, ProviderCircuit
from payouts.providers import base
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, racing, telling
from tests.support.fake_provider import FakeProvider

ADA: dict[str, Any] = {"actor": "operator:ada", "reason": "maintenance"}

MakePayout = Callable[..., Payout]


class Crowd:
    """A provider that counts the calls that are under way. The first ones wait for as many as it takes at once."""

    def __init__(self, concurrency_max: int) -> None:
        self._changed = threading.Condition()
        self._wanted = concurrency_max
        self._now = 0
        self.most = 0

    def __call__(self, instruction: base.Instruction) -> base.Report:
        with self._changed:
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.most >= self._wanted, timeout=10)
        # One more than it takes would come in here.
        time.sleep(0.01)
        with self._changed:
            self._now -= 1
        return fake_provider.PAID


def work(payout_id: uuid.UUID) -> None:
    """Do as a worker does that is rung for this payout, and for whom it rings then."""
    next_id: uuid.UUID | None = payout_id
    while next_id is not None:
        next_id = processing.process(next_id)


@pytest.mark.django_db(transaction=True)
class TestCap:
    PAYOUTS = 12

    @pytest.mark.parametrize("concurrency_max", [1, 3])
    def test_is_exact(self, provider: FakeProvider, make_live_payout: MakePayout, concurrency_max: int) -> None:
        crowd = Crowd(concurrency_max)
        provider.on_send(crowd)
        provider.promise(concurrency_max=concurrency_max)
        payouts = [make_live_payout() for _ in range(self.PAYOUTS)]

        results = racing.run_together(*[lambda payout=payout: work(payout.pk) for payout in payouts])

        assert results == [None] * self.PAYOUTS
        assert crowd.most == concurrency_max
        # The sweeper finds a payout that was turned away when the last call had just ended.
        while sweep.sweep() != sweep.Sweep() or admission.providers_at_capacity():
            for payout in Payout.objects.filter(status="pending"):
                work(payout.pk)
        assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}
        sent = sorted(call.instruction.reference for call in provider.calls)
        assert sent == sorted(str(payout.pk) for payout in payouts)
        assert crowd.most == concurrency_max

    def test_is_none_where_the_provider_has_none(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        together = threading.Barrier(4)

        def send(instruction: base.Instruction) -> base.Report:
            # All of them are under way at once, or this breaks.
            together.wait(10)
            return fake_provider.PAID

        provider.on_send(send)
        payouts = [make_live_payout() for _ in range(4)]

        racing.run_together(*[lambda payout=payout: processing.process(payout.pk) for payout in payouts])

        assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}


@pytest.mark.django_db
class TestRoom:
    @pytest.fixture
    def abandoned_payout(self, provider: FakeProvider, make_live_payout: MakePayout) -> Payout:
        """Its worker died, and its lease holds the only place."""
        provider.promise(concurrency_max=1)
        provider.on_send(fake_provider.WorkerKilled(), fake_provider.PAID)
        payout = make_live_payout()
        with pytest.raises(fake_provider.WorkerKilled):
            processing.process(payout.pk)
        return payout

    def test_there_is_none_while_the_lease_lasts(
        self, provider: FakeProvider, abandoned_payout: Payout, live_payout: Payout
    ) -> None:
        following = processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert following is None
        assert (live_payout.status, live_payout.version, live_payout.attempts_count) == ("pending", 1, 0)
        assert live_payout.turned_away_at is not None
        assert provider.kinds == ["send"]

    def test_a_dead_worker_leaves_it_with_its_lease(
        self, provider: FakeProvider, abandoned_payout: Payout, live_payout: Payout
    ) -> None:
        database.expire_lease(abandoned_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.turned_away_at) == ("paid", None)

    def test_is_needed_for_questions_too(
        self, provider: FakeProvider, abandoned_payout: Payout, live_payout: Payout
    ) -> None:
        telling.tell(live_payout.pk, "accepted")
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["send"]
        assert (live_payout.status, live_payout.lease_token) == ("submitted", None)
        assert live_payout.turned_away_at is not None

    def test_is_taken_by_questions_too(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        provider.promise(concurrency_max=1)
        asked, waiting = make_live_payout(), make_live_payout()
        telling.tell(asked.pk, "accepted")
        database.make_due(asked)

        def ask(instruction: base.Instruction) -> base.Report:
            processing.process(waiting.pk)
            return fake_provider.PAID

        provider.on_ask(ask)

        following = processing.process(asked.pk)

        assert provider.kinds == ["ask"]
        assert following == waiting.pk

    def test_of_one_provider_is_none_of_another(self, abandoned_payout: Payout, make_payout: MakePayout) -> None:
        payout = make_payout()

        processing.process(payout.pk)

        payout.refresh_from_db()
        assert payout.status == "paid"

    def test_what_is_not_due_is_not_turned_away(
        self, provider: FakeProvider, abandoned_payout: Payout, live_payout: Payout
    ) -> None:
        database.make_due(live_payout, seconds=-60)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.turned_away_at is None


@pytest.mark.django_db
class TestNext:
    @pytest.fixture
    def waiting(self, provider: FakeProvider, make_live_payout: MakePayout) -> list[Payout]:
        """Three that were turned away, the one that has been due for longest first."""
        payouts = [make_live_payout() for _ in range(3)]
        for number, payout in enumerate(payouts):
            database.make_due(payout, seconds=100 - number)
        for payout in reversed(payouts):
            admission.mark_waiting(payout.pk)
        return payouts

    def test_is_the_one_that_has_been_due_for_longest(self, waiting: list[Payout]) -> None:
        taken = [admission.take_next_waiting("fake") for _ in range(4)]

        assert taken == [*(payout.pk for payout in waiting), None]

    def test_is_marked_as_rung_for(self, waiting: list[Payout]) -> None:
        """So that the sweeper does not ring for it as well."""
        admission.take_next_waiting("fake")

        waiting[0].refresh_from_db()
        assert waiting[0].turned_away_at is None
        assert waiting[0].rung_at is not None

    def test_keeps_its_place_when_it_is_turned_away_again(self, waiting: list[Payout]) -> None:
        admission.take_next_waiting("fake")
        admission.mark_waiting(waiting[0].pk)

        assert admission.take_next_waiting("fake") == waiting[0].pk

    def test_keeps_its_place_when_nobody_could_be_rung(self, waiting: list[Payout]) -> None:
        admission.take_next_waiting("fake")
        admission.keep_waiting(waiting[0].pk)

        waiting[0].refresh_from_db()
        assert (waiting[0].turned_away_at is not None, waiting[0].rung_at) == (True, None)
        assert admission.take_next_waiting("fake") == waiting[0].pk

    def test_is_of_this_provider(self, waiting: list[Payout]) -> None:
        assert admission.take_next_waiting("sandbox") is None

    def test_is_none_that_an_operator_holds(self, waiting: list[Payout]) -> None:
        pauses.pause(Scope(provider="fake"), **ADA)

        assert admission.take_next_waiting("fake") is None

    def test_is_none_that_is_under_review(self, waiting: list[Payout]) -> None:
        Payout.objects.filter(pk=waiting[0].pk).update(contradicted_at=Now())

        assert admission.take_next_waiting("fake") == waiting[1].pk

    def test_is_none_that_is_gone(self, waiting: list[Payout]) -> None:
        services.cancel_payout(waiting[0], actor="merchant:x")

        assert admission.take_next_waiting("fake") == waiting[1].pk

    def test_is_none_that_its_provider_has_settled(self, provider: FakeProvider, waiting: list[Payout]) -> None:
        """It told us by itself, and will be asked about in its own time."""
        telling.tell(waiting[0].pk, "accepted")
        database.make_due(waiting[0], seconds=1000)

        waiting[0].refresh_from_db()
        assert waiting[0].turned_away_at is None
        assert admission.take_next_waiting("fake") == waiting[1].pk

    def test_is_none_that_is_due_later(self, waiting: list[Payout]) -> None:
        database.make_due(waiting[0], seconds=-60)

        assert admission.take_next_waiting("fake") == waiting[1].pk

    def test_those_who_end_hand_on_to_the_end(self, provider: FakeProvider, waiting: list[Payout]) -> None:
        provider.promise(concurrency_max=1)

        work(waiting[2].pk)

        sent = [call.instruction.reference for call in provider.calls]
        assert sent == [str(waiting[number].pk) for number in (2, 0, 1)]

    def test_there_is_none_where_nobody_is_ever_turned_away(
        self, provider: FakeProvider, waiting: list[Payout]
    ) -> None:
        """A provider without a limit and without a circuit: nobody looks."""
        provider.promise(fails_as_a_whole=False)

        assert processing.process(waiting[2].pk) is None

    def test_providers_at_capacity(self, waiting: list[Payout], make_payout: MakePayout) -> None:
        assert admission.providers_at_capacity() == ["fake"]
        admission.mark_waiting(make_payout().pk)

        assert admission.providers_at_capacity() == ["fake", "sandbox"]


@pytest.mark.django_db(transaction=True)
class TestNextInRaces:
    def test_each_is_taken_once(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        payouts = [make_live_payout() for _ in range(6)]
        for payout in payouts:
            admission.mark_waiting(payout.pk)

        results = racing.run_together(*[lambda: admission.take_next_waiting("fake")] * 8)

        assert results.count(None) == 2
        assert {result for result in results if result is not None} == {payout.pk for payout in payouts}

    def test_one_that_is_locked_holds_up_nobody(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        first, second = make_live_payout(), make_live_payout()
        for payout in (first, second):
            admission.mark_waiting(payout.pk)
        locked, taken = threading.Event(), threading.Event()

        def lock() -> None:
            with transaction.atomic():
                Payout.objects.select_for_update().get(pk=first.pk)
                locked.set()
                assert taken.wait(10)

        def take() -> uuid.UUID | None:
            assert locked.wait(10)
            try:
                return admission.take_next_waiting("fake")
            finally:
                taken.set()

        assert racing.run_together(lock, take)[1] == second.pk


def shown_by(api: Client, payout: Payout) -> str:
    """Return the waiting reason that the merchant reads, of the payout alone and in the list."""
    alone = api.get(f"/api/payouts/{payout.pk}/").json()["waiting_reason"]
    (listed,) = [row for row in api.get("/api/payouts/").json()["results"] if row["id"] == str(payout.pk)]
    assert listed["waiting_reason"] == alone
    return str(alone)


def open_circuit(*, seconds: float) -> None:
    ProviderCircuit.objects.create(
        provider="sandbox", failures_count=5, opened_at=Now(), retry_at=Now() + timedelta(seconds=seconds)
    )


@pytest.mark.django_db
class TestWaitingReason:
    def test_is_none_while_it_waits_for_its_turn(self, api: Client, make_payout: MakePayout) -> None:
        assert shown_by(api, make_payout()) == ""

    def test_of_pauses(self, api: Client, acme: Merchant, make_payout: MakePayout) -> None:
        payout = make_payout()
        shown = []
        for scope in (Scope(), Scope(merchant=acme), Scope(provider="sandbox")):
            pauses.pause(scope, **ADA)
            shown.append(shown_by(api, payout))
            pauses.resume(scope, actor="operator:ada")
        shown.append(shown_by(api, payout))

        assert shown == ["payouts_paused", "merchant_paused", "provider_paused", ""]

    def test_of_pauses_of_others(
        self, api: Client, provider: FakeProvider, globex: Merchant, make_payout: MakePayout
    ) -> None:
        payout = make_payout()
        for scope in (Scope(merchant=globex), Scope(provider="fake")):
            pauses.pause(scope, **ADA)

        assert shown_by(api, payout) == ""

    @pytest.mark.parametrize(("seconds", "reason"), [(60, "provider_unavailable"), (-1, "")])
    def test_of_a_circuit(self, api: Client, make_payout: MakePayout, seconds: float, reason: str) -> None:
        payout = make_payout()
        open_circuit(seconds=seconds)

        assert shown_by(api, payout) == reason

    def test_of_an_attempt_that_did_not_get_through(self, api: Client, make_processed_payout: MakePayout) -> None:
        payout = make_processed_payout("sandbox_unavailable_1")
        shown = [shown_by(api, payout)]
        services.update_payout(payout, comment="where is it?")
        shown.append(shown_by(api, payout))
        processing.process(payout.pk)
        database.make_due(payout)
        processing.process(payout.pk)
        shown.append(shown_by(api, payout))

        assert shown == ["provider_unavailable", "provider_unavailable", ""]

    def test_of_a_provider_that_is_gone(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        Payout.objects.update(provider="gone")

        assert shown_by(api, payout) == "provider_missing"

    def test_of_a_contradiction(self, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout()
        Payout.objects.update(contradicted_at=Now())

        assert shown_by(api, payout) == "under_review"

    def test_of_one_that_may_be_sent_again(self, api: Client, make_payout: MakePayout) -> None:
        payout = database.put_into(make_payout(), PayoutStatus.UNKNOWN)
        assert shown_by(api, payout) == ""

        pauses.pause(Scope(), **ADA)

        assert shown_by(api, payout) == "payouts_paused"

    @pytest.mark.parametrize(
        "status", [status for status in PayoutStatus if status not in {PayoutStatus.PENDING, PayoutStatus.UNKNOWN}]
    )
    def test_is_none_of_what_does_not_wait(self, api: Client, make_payout: MakePayout, status: PayoutStatus) -> None:
        payout = database.put_into(make_payout(), status)
        pauses.pause(Scope(), **ADA)
        open_circuit(seconds=60)

        assert shown_by(api, payout) == ""

    def test_names_what_lasts_longest_first(self, acme: Merchant, make_payout: MakePayout) -> None:
        """What an operator has to end comes before what ends by itself."""
        payout = make_payout()
        Payout.objects.update(contradicted_at=Now(), provider="gone")
        payout.refresh_from_db()
        ProviderCircuit.objects.create(
            provider="gone", failures_count=5, opened_at=Now(), retry_at=Now() + timedelta(seconds=60)
        )
        holds = admission.Holds(
            everything=True,
            merchants=frozenset({acme.pk}),
            providers=frozenset({"gone"}),
            troubled=frozenset({"gone"}),
        )

        found = []
        nobody: frozenset[Any] = frozenset()
        endings: list[dict[str, Any]] = [{}, {"everything": False}, {"merchants": nobody}, {"providers": nobody}]
        for without in endings:
            holds = admission.Holds(**{**vars(holds), **without})
            found.append(holds.reason_for(payout))
        payout.contradicted_at = None
        found.append(holds.reason_for(payout))
        payout.provider = "sandbox"
        found.append(holds.reason_for(payout))

        assert found == [
            "payouts_paused",
            "merchant_paused",
            "provider_paused",
            "under_review",
            "provider_missing",
            None,
        ]
