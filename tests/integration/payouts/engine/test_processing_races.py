"""Real threads and real commits: of any number of workers one gets the payout."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from payouts import errors, services
from payouts.engine import processing
from payouts.models import Payout
from payouts.providers import base
from tests.support import database, fake_provider, racing
from tests.support.fake_provider import FakeProvider

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 8


class TestRaces:
    def test_one_of_many_workers_sends(self, provider: FakeProvider, live_payout: Payout) -> None:
        results = racing.run_together(*[lambda: processing.process(live_payout.pk)] * WORKERS)

        assert results == [None] * WORKERS
        assert provider.kinds == ["send"]
        assert database.statuses(live_payout) == ["pending", "processing", "paid"]
        assert database.attempts(live_payout) == [(1, "send", "paid", "")]

    def test_one_of_many_workers_asks(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        racing.run_together(*[lambda: processing.process(live_payout.pk)] * WORKERS)

        assert provider.kinds == ["send", "ask"]
        assert database.statuses(live_payout) == ["pending", "processing", "unknown", "paid"]

    def test_one_of_many_workers_takes_over_from_a_dead_one(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.WorkerKilled())
        with pytest.raises(fake_provider.WorkerKilled):
            processing.process(live_payout.pk)
        database.expire_lease(live_payout)

        racing.run_together(*[lambda: processing.process(live_payout.pk)] * WORKERS)

        assert provider.kinds == ["send", "ask"]
        assert database.statuses(live_payout) == ["pending", "processing", "unknown", "paid"]

    def test_one_of_many_workers_sends_again(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNKNOWN, fake_provider.PAID)
        provider.on_ask(fake_provider.NOT_FOUND)
        processing.process(live_payout.pk)
        database.make_due(live_payout)

        racing.run_together(*[lambda: processing.process(live_payout.pk)] * WORKERS)

        assert provider.kinds == ["send", "ask", "send"]
        assert database.statuses(live_payout)[-2:] == ["processing", "paid"]

    def test_many_payouts_are_each_sent_once(
        self, provider: FakeProvider, make_live_payout: Callable[..., Payout]
    ) -> None:
        payouts = [make_live_payout() for _ in range(10)]

        def process_all() -> None:
            for payout in payouts:
                processing.process(payout.pk)

        racing.run_together(*[process_all] * 4)

        references = sorted(call.instruction.reference for call in provider.calls)
        assert references == sorted(str(payout.pk) for payout in payouts)
        assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}

    def test_a_worker_and_a_merchant_who_cancels(
        self, provider: FakeProvider, make_live_payout: Callable[..., Payout]
    ) -> None:
        """The first to commit wins: either it is canceled and never sent, or sent and not canceled."""
        for _ in range(10):
            payout = make_live_payout()
            provider.calls.clear()

            canceled = racing.run_together(
                partial(processing.process, payout.pk), partial(services.cancel_payout, payout, actor="merchant:x")
            )[1]

            payout.refresh_from_db()
            if isinstance(canceled, Payout):
                assert (payout.status, provider.kinds) == ("canceled", [])
            else:
                assert isinstance(canceled, errors.PayoutNotCancelable)
                assert (payout.status, provider.kinds) == ("paid", ["send"])


class TestTransactions:
    def test_none_is_open_while_the_provider_is_called(self, provider: FakeProvider, live_payout: Payout) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        provider.on_ask(fake_provider.NOT_FOUND)

        processing.process(live_payout.pk)
        database.make_due(live_payout)
        processing.process(live_payout.pk)

        assert provider.kinds == ["send", "ask", "send"]
        assert [call.in_transaction for call in provider.calls] == [False, False, False]

    def test_nothing_is_locked_while_the_provider_is_called(self, provider: FakeProvider, live_payout: Payout) -> None:
        """A slow provider must not hold up the merchant who writes a comment meanwhile."""
        sending, written = threading.Event(), threading.Event()

        def send(instruction: base.Instruction) -> base.Report:
            sending.set()
            assert written.wait(10)
            return fake_provider.PAID

        def comment() -> None:
            assert sending.wait(10)
            services.update_payout(live_payout, comment="seen")
            written.set()

        provider.on_send(send)

        results = racing.run_together(lambda: processing.process(live_payout.pk), comment)

        assert results == [None, None]
        live_payout.refresh_from_db()
        assert (live_payout.status, live_payout.comment) == ("paid", "seen")

    def test_what_was_sent_is_on_record_before(self, provider: FakeProvider, live_payout: Payout) -> None:
        """Another connection sees the claim and the attempt while the provider is called."""
        seen: list[tuple[str, int]] = []

        def look() -> None:
            seen.append((Payout.objects.get().status, live_payout.attempts.count()))

        def send(instruction: base.Instruction) -> base.Report:
            racing.run_together(look)
            return fake_provider.PAID

        provider.on_send(send)

        processing.process(live_payout.pk)

        assert seen == [("processing", 1)]
