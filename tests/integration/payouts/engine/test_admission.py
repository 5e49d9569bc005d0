"""How many calls a provider takes at once, and what a payout says while it waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client

from accounts.models import Merchant
from payouts import services
from payouts.engine import claims, holds, pauses, processing, rounds
from payouts.engine.lanes import Group
from payouts.engine.pauses import Scope
from payouts.models import LaneCircuit, Payout, ProviderCircuit
from payouts.providers import base
from payouts.states import AttemptKind, PayoutStatus
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


@pytest.mark.django_db(transaction=True)
class TestCap:
    PAYOUTS = 12

    @pytest.mark.parametrize("concurrency_max", [1, 3])
    def test_is_exact(self, provider: FakeProvider, make_live_payout: MakePayout, concurrency_max: int) -> None:
        crowd = Crowd(concurrency_max)
        provider.on_send(crowd)
        provider.promise(concurrency_max=concurrency_max)
        payouts = [make_live_payout() for _ in range(self.PAYOUTS)]

        results = racing.run_together(*[rounds.run] * 4)

        assert sum(done.calls for done in results) == self.PAYOUTS
        assert crowd.most == concurrency_max
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
        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.version, live_payout.attempts_count) == ("pending", 1, 0)
        assert provider.kinds == ["send"]

    def test_a_dead_worker_leaves_it_with_its_lease(
        self, provider: FakeProvider, abandoned_payout: Payout, live_payout: Payout
    ) -> None:
        database.expire_lease(abandoned_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert live_payout.status == "paid"

    def test_is_needed_for_questions_too(
        self, provider: FakeProvider, abandoned_payout: Payout, live_payout: Payout
    ) -> None:
        telling.tell(live_payout.pk, "accepted")
        database.make_due(live_payout)

        processing.process(live_payout.pk)

        live_payout.refresh_from_db()
        assert provider.kinds == ["send"]
        assert (live_payout.status, live_payout.lease_token) == ("submitted", None)

    def test_is_taken_by_questions_too(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        provider.promise(concurrency_max=1)
        asked, waiting = make_live_payout(), make_live_payout()
        telling.tell(asked.pk, "accepted")
        database.make_due(asked)

        def ask(instruction: base.Instruction) -> base.Report:
            processing.process(waiting.pk)
            return fake_provider.PAID

        provider.on_ask(ask)

        processing.process(asked.pk)

        assert provider.kinds == ["ask"]
        assert database.statuses(waiting) == ["pending"]

    def test_has_a_quarter_for_questions(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        provider.promise(concurrency_max=8)
        for _ in range(6):
            asked = make_live_payout()
            telling.tell(asked.pk, "accepted")
            database.make_due(asked)
        for _ in range(8):
            make_live_payout()

        claimed = [
            claims.claim_due(Group(kind, "fake", "live"), places=16) for kind in (AttemptKind.ASK, AttemptKind.SEND)
        ]

        assert [len(each.claims) for each in claimed] == [2, 6]

    def test_of_one_provider_is_none_of_another(self, abandoned_payout: Payout, make_payout: MakePayout) -> None:
        payout = make_payout()

        processing.process(payout.pk)

        payout.refresh_from_db()
        assert payout.status == "paid"


def shown_by(api: Client, payout: Payout) -> str:
    """Return the waiting reason that the merchant reads, of the payout alone and in the list."""
    alone = api.get(f"/api/payouts/{payout.pk}/").json()["waiting_reason"]
    (listed,) = [row for row in api.get("/api/payouts/").json()["results"] if row["id"] == str(payout.pk)]
    assert listed["waiting_reason"] == alone
    return str(alone)


def hold_lane(merchant: Merchant, *, mode: str, seconds: float) -> None:
    retry_at = Now() + timedelta(seconds=seconds)
    LaneCircuit.objects.create(provider="sandbox", mode=mode, merchant=merchant, opened_at=Now(), retry_at=retry_at)


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

    @pytest.mark.parametrize(("seconds", "reason"), [(60, "merchant_failing"), (-1, "")])
    def test_of_failures_of_its_merchant(
        self, api: Client, acme: Merchant, globex: Merchant, make_payout: MakePayout, seconds: float, reason: str
    ) -> None:
        payout = make_payout()
        # Neither another merchant's, nor those of the other mode.
        for merchant, mode in ((globex, "test"), (acme, "live")):
            hold_lane(merchant, mode=mode, seconds=60)
        assert shown_by(api, payout) == ""

        hold_lane(acme, mode="test", seconds=seconds)

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
        found_holds = holds.Holds(
            everything=True,
            merchants=frozenset({acme.pk}),
            providers=frozenset({"gone"}),
            troubled=frozenset({"gone"}),
            lanes=frozenset({("sandbox", "test", acme.pk)}),
        )

        found = []
        nobody: frozenset[Any] = frozenset()
        endings: list[dict[str, Any]] = [{}, {"everything": False}, {"merchants": nobody}, {"providers": nobody}]
        for without in endings:
            found_holds = holds.Holds(**{**vars(found_holds), **without})
            found.append(found_holds.reason_for(payout))
        payout.contradicted_at = None
        found.append(found_holds.reason_for(payout))
        payout.provider = "sandbox"
        found.append(found_holds.reason_for(payout))
        found_holds = holds.Holds(**{**vars(found_holds), "lanes": nobody})
        found.append(found_holds.reason_for(payout))

        assert found == [
            "payouts_paused",
            "merchant_paused",
            "provider_paused",
            "under_review",
            "provider_missing",
            "merchant_failing",
            None,
        ]
