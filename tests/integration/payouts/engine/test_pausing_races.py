"""A pause begins while payouts are being claimed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Merchant
from payouts import services
from payouts.engine import admission, pauses, processing
from payouts.engine.pauses import Scope
from payouts.models import Pause, Payout, PayoutAttempt
from tests.support import database, factories, racing
from tests.support.fake_provider import FakeProvider

ADA: dict[str, Any] = {"actor": "operator:ada", "reason": "the bank is being moved"}

MakePayout = Callable[..., Payout]


@pytest.mark.django_db(transaction=True)
class TestRaces:
    ROUNDS = 12
    WORKERS = 3
    PAYOUTS = 4

    def test_nothing_is_claimed_once_a_pause_has_begun(
        self, provider: FakeProvider, acme: Merchant, make_live_payout: MakePayout
    ) -> None:
        """Each worker is in the midst of its payouts when pause() returns, in each round anew."""
        scopes = [Scope(), Scope(merchant=acme), Scope(provider="fake")]
        provider.promise(fails_as_a_whole=False)

        def work(payouts: list[Payout]) -> None:
            for payout in payouts:
                processing.process(payout.pk)

        for number in range(self.ROUNDS):
            scope = scopes[number % 3]
            hands = [[make_live_payout() for _ in range(self.PAYOUTS)] for _ in range(self.WORKERS)]

            def pause(scope: Scope = scope, number: int = number) -> int:
                time.sleep(0.001 * (number % 10))
                pauses.pause(scope, **ADA)
                return PayoutAttempt.objects.count()

            results = racing.run_together(*[lambda hand=hand: work(hand) for hand in hands], pause)

            assert results[:-1] == [None] * self.WORKERS
            assert results[-1] == PayoutAttempt.objects.count(), "Something was claimed after the pause had begun."
            pauses.resume(scope, actor="operator:ada")

        assert len(provider.calls) == PayoutAttempt.objects.count()
        assert set(Payout.objects.values_list("status", flat=True)) <= {"pending", "paid"}

    def test_of_two_operators_one_begins_it(self) -> None:
        results = racing.run_together(*[lambda: pauses.pause(Scope(), **ADA)] * 4)

        assert sorted(type(result).__name__ for result in results) == ["Pause"] + ["PausedAlready"] * 3
        assert Pause.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestWaiting:
    def test_waits_for_a_claim_that_cannot_see_it(
        self, provider: FakeProvider, live_payout: Payout, caplog: pytest.LogCaptureFixture
    ) -> None:
        entered = threading.Event()
        order: list[str] = []

        def claim() -> None:
            with transaction.atomic():
                admission.lock_pauses_shared()
                entered.set()
                time.sleep(0.1)
                order.append("claimed")

        def pause() -> None:
            assert entered.wait(10)
            pauses.pause(Scope(), **ADA)
            order.append("paused")

        results = racing.run_together(claim, pause)

        assert results == [None, None]
        assert order == ["claimed", "paused"]
        assert "pause.begun.during_claims" not in caplog.messages

    @pytest.mark.parametrize("reader", ["LOCK TABLE payouts_pause IN ACCESS SHARE MODE", "SELECT * FROM payouts_pause"])
    def test_does_not_wait_for_readers(self, reader: str) -> None:
        """A backup reads every table, for hours."""
        reading, paused = threading.Event(), threading.Event()

        def read() -> None:
            with transaction.atomic():
                database.execute(reader)
                reading.set()
                assert paused.wait(10)

        def pause() -> float:
            assert reading.wait(10)
            began = time.monotonic()
            try:
                pauses.pause(Scope(), **ADA)
            finally:
                paused.set()
            return time.monotonic() - began

        read_result, seconds = racing.run_together(read, pause)

        assert read_result is None
        assert seconds < 1

    def test_holds_up_nobody_but_claims(self, acme: Merchant, make_payout: MakePayout) -> None:
        """While it waits for a claim that is stuck, merchants are answered."""
        make_payout()
        entered, answered = threading.Event(), threading.Event()
        client = factories.client_of(acme)

        def claim() -> None:
            with transaction.atomic():
                admission.lock_pauses_shared()
                entered.set()
                assert answered.wait(10)

        def pause() -> None:
            assert entered.wait(10)
            pauses.pause(Scope(), **ADA)

        def ask() -> list[Any]:
            assert entered.wait(10)
            # pause() waits for its lock by now, or will not be waited for later either.
            wait_until_somebody_waits()
            try:
                created, listed = factories.post_payout(client), client.get("/api/payouts/")
            finally:
                answered.set()
            return [created.status_code, listed.status_code, created.json()["waiting_reason"]]

        results = racing.run_together(claim, pause, ask)

        assert results == [None, None, [201, 200, ""]]

    def test_is_not_held_up_by_a_row_that_a_merchant_changes(self, provider: FakeProvider, live_payout: Payout) -> None:
        """A claim passes over the row, so a pause waits for no request."""
        locked, paused = threading.Event(), threading.Event()

        def change() -> None:
            with transaction.atomic():
                services.update_payout(live_payout, comment="new")
                locked.set()
                assert paused.wait(10)

        def work() -> None:
            assert locked.wait(10)
            processing.process(live_payout.pk)
            pauses.pause(Scope(), **ADA)
            paused.set()

        results = racing.run_together(change, work)

        live_payout.refresh_from_db()
        assert results == [None, None]
        assert (live_payout.comment, live_payout.status) == ("new", "pending")
        assert provider.calls == []


def wait_until_somebody_waits() -> None:
    """Wait until another connection waits for a lock."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone() != (0,):
                return
        time.sleep(0.01)
    raise AssertionError("Nobody waits.")
