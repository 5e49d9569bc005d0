"""The figures of what waits for the platform, and of what waits for a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from accounts.models import Merchant
from payouts.engine import backlog as reporting
from payouts.engine import lane_figures, patience, pauses, processing
from payouts.engine.pauses import Scope
from payouts.models import LaneCircuit, Payout, ProviderCallback, ProviderCircuit
from payouts.providers import registry
from payouts.states import PayoutStatus
from tests.support import database, fake_provider, telling
from tests.support.fake_provider import FakeProvider

pytestmark = pytest.mark.django_db

MakePayout = Callable[..., Payout]


QUIET: dict[str, float] = {
    "unknown": 0,
    "unknown_seconds": 0.0,
    "submitted_late": 0,
    "submitted_late_seconds": 0.0,
    "callbacks_unexplained": 0,
    "callbacks_unexplained_seconds": 0.0,
}


def open_circuit(provider: str, *, seconds: float) -> None:
    ProviderCircuit.objects.create(
        provider=provider, failures_count=5, opened_at=Now(), retry_at=Now() + timedelta(seconds=seconds)
    )


def rows_read_by(work: Callable[[], object]) -> int:
    """Return how many rows of the table of payouts, and entries of its indexes, this reads."""
    statement = """
        SELECT pg_stat_get_xact_tuples_returned('payouts_payout'::regclass)
            + sum(pg_stat_get_xact_tuples_returned(indexrelid))
        FROM pg_index WHERE indrelid = 'payouts_payout'::regclass"""

    def read() -> int:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.fetchone()[0])

    before = read()
    work()
    return read() - before


class TestBacklog:
    def test_is_empty_where_nothing_waits(self, make_processed_payout: MakePayout) -> None:
        make_processed_payout("sandbox_rejected_account_closed")

        assert reporting.backlog() == {"due": 0, "overdue_seconds": 0.0, "held": 0, "callbacks": 0}

    def test_counts_what_is_due_and_tells_for_how_long(self, make_payout: MakePayout) -> None:
        for seconds in (100, 50, -50):
            database.make_due(make_payout(), seconds=seconds)

        backlog = reporting.backlog()

        assert (backlog["due"], backlog["held"]) == (2, 0)
        assert 100 <= backlog["overdue_seconds"] < 130

    def test_counts_what_is_held_apart(
        self, provider: FakeProvider, make_payout: MakePayout, make_live_payout: MakePayout
    ) -> None:
        """An alarm at what is overdue must not go off for what an operator has paused."""
        free, paused, reviewed = make_payout(), make_live_payout(), make_payout()
        pauses.pause(Scope(provider="fake"), actor="operator:ada", reason="maintenance")
        Payout.objects.filter(pk=reviewed.pk).update(contradicted_at=Now())
        for payout, seconds in ((free, 10), (paused, 100), (reviewed, 200)):
            database.make_due(payout, seconds=seconds)

        backlog = reporting.backlog()

        assert (backlog["due"], backlog["held"]) == (1, 2)
        assert 10 <= backlog["overdue_seconds"] < 40

    @pytest.mark.parametrize(("seconds", "due", "held"), [(60, 0, 1), (-1, 1, 0)])
    def test_counts_what_an_open_circuit_holds(
        self, make_payout: MakePayout, seconds: float, due: int, held: int
    ) -> None:
        database.make_due(make_payout())
        open_circuit("sandbox", seconds=seconds)

        backlog = reporting.backlog()

        assert (backlog["due"], backlog["held"]) == (due, held)

    @pytest.mark.parametrize(("seconds", "due", "held"), [(60, 1, 1), (-1, 2, 0)])
    def test_counts_what_the_circuit_of_a_lane_holds(
        self, make_payout: MakePayout, make_globex_payout: MakePayout, seconds: float, due: int, held: int
    ) -> None:
        failing = make_globex_payout()
        for payout in (make_payout(), failing):
            database.make_due(payout)
        LaneCircuit.objects.create(
            provider="fake", mode="live", merchant=failing.merchant, failures_count=5, opened_at=Now(),
            retry_at=Now() + timedelta(seconds=seconds),
        )  # fmt: skip

        backlog = reporting.backlog()

        assert (backlog["due"], backlog["held"]) == (due, held)

    def test_counts_what_dead_workers_left(self, provider: FakeProvider, live_payout: Payout) -> None:
        fake_provider.abandon(provider, live_payout)

        backlog = reporting.backlog()

        assert (backlog["due"], backlog["held"]) == (1, 0)
        assert 1 <= backlog["overdue_seconds"] < 30

    def test_stops_counting_at_a_bound(self, make_payout: MakePayout, make_globex_payout: MakePayout) -> None:
        paused = make_globex_payout()
        for payout in (paused, make_globex_payout(), *[make_payout() for _ in range(3)]):
            database.make_due(payout)
        pauses.pause(Scope(merchant=paused.merchant), actor="operator:ada", reason="maintenance")

        found = [lane_figures.read(at_most=bound) for bound in (1, 2, 3, 4)]

        assert [(figures.free, figures.held) for figures in found] == [(1, 1), (2, 2), (3, 2), (3, 2)]

    def test_passes_over_what_a_held_lane_has(self, make_payout: MakePayout, acme: Merchant) -> None:
        def rows_read() -> int:
            database.execute("ANALYZE payouts_payout")
            # What earlier tests have left in the indexes is marked when it is first met.
            lane_figures.read(at_most=10)
            return rows_read_by(lambda: lane_figures.read(at_most=10))

        # A small table would be read as a whole, and sorted.
        for step in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
            database.execute(f"SET LOCAL enable_{step} = off")
        make_payout()
        pauses.pause(Scope(merchant=acme), actor="operator:ada", reason="maintenance")
        of_one = rows_read()
        Payout.objects.bulk_create(
            Payout(merchant=acme, mode="test", provider="sandbox", amount=1, currency="EUR", recipient_details="x")
            for _ in range(300)
        )

        assert rows_read() < of_one + 100

    def test_counts_questions_as_due_whatever_is_held(self, provider: FakeProvider, live_payout: Payout) -> None:
        telling.tell(live_payout.pk, "accepted")
        database.make_due(live_payout)
        pauses.pause(Scope(), actor="operator:ada", reason="maintenance")

        backlog = reporting.backlog()

        assert (backlog["due"], backlog["held"]) == (1, 0)

    def test_counts_callbacks_that_nobody_applied(self, provider: FakeProvider, live_payout: Payout) -> None:
        telling.tell(live_payout.pk, "accepted")
        telling.store(live_payout.pk, "paid")

        assert reporting.backlog()["callbacks"] == 1
        assert ProviderCallback.objects.count() == 2


class TestAlarms:
    def test_are_none_where_all_is_well(self, make_processed_payout: MakePayout) -> None:
        make_processed_payout()

        quiet = {"requires_attention": 0, "contradicted": 0, "pauses": 0, "circuits": {}, "lanes_held": {}}
        assert reporting.alarms() == {**QUIET, **quiet}

    def test_count_what_waits_for_a_person(self, provider: FakeProvider, make_payout: MakePayout) -> None:
        for status in PayoutStatus:
            database.put_into(make_payout(), status)
        Payout.objects.filter(status__in=["paid", "failed"]).update(contradicted_at=Now())
        for scope in (Scope(), Scope(provider="fake")):
            pauses.pause(scope, actor="operator:ada", reason="maintenance")
        pauses.resume(Scope(), actor="operator:ada")
        open_circuit("sandbox", seconds=60)
        open_circuit("fake", seconds=60)
        open_circuit("other", seconds=-1)
        LaneCircuit.objects.create(
            provider="fake", mode="live", merchant=make_payout().merchant, opened_at=Now(), retry_at=Now()
        )

        assert reporting.alarms() == {
            **QUIET,
            # Sent never, as these were put into it: its age is not known.
            "unknown": 1,
            "requires_attention": 1,
            "contradicted": 2,
            "pauses": 1,
            # The last is to be tried: it is open until the trial has shown that all is well.
            "circuits": {"fake": True, "sandbox": True, "other": True},
            "lanes_held": {"fake": 1, "sandbox": 0, "other": 0},
        }

    def test_tell_for_how_long_an_outcome_is_unknown(
        self, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        provider.on_send(fake_provider.UNKNOWN)
        for seconds in (50, 100):
            payout = make_live_payout()
            processing.process(payout.pk)
            database.age(payout, seconds=seconds)

        alarms = reporting.alarms()

        assert alarms["unknown"] == 2
        assert 100 <= alarms["unknown_seconds"] < 130

    @pytest.mark.parametrize(("seconds", "late"), [(3500, 0), (3700, 1)])
    def test_tell_what_its_provider_should_have_ended(
        self, provider: FakeProvider, live_payout: Payout, seconds: float, late: int
    ) -> None:
        submit(provider, live_payout, seconds=seconds)

        alarms = reporting.alarms()

        assert alarms["submitted_late"] == late
        assert alarms["submitted_late_seconds"] == pytest.approx(late * seconds, abs=30)

    def test_count_from_the_day_of_acceptance(self, provider: FakeProvider, live_payout: Payout) -> None:
        """Sent long ago, and accepted just now."""
        submit(provider, live_payout, seconds=0)
        database.age(live_payout, seconds=10 * 3600)

        assert reporting.alarms()["submitted_late"] == 0

    @pytest.mark.parametrize(("days", "late"), [(2, 0), (4, 1)])
    def test_tell_what_no_provider_will_ever_end(
        self, provider: FakeProvider, live_payout: Payout, monkeypatch: pytest.MonkeyPatch, days: float, late: int
    ) -> None:
        submit(provider, live_payout, seconds=days * 86_400)
        monkeypatch.delitem(registry.PROVIDERS, "fake")

        assert reporting.alarms()["submitted_late"] == late

    def test_are_read_from_partial_indexes(self, provider: FakeProvider) -> None:
        """What is over is far more, and must not be looked at."""
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
        for rows, index in ((patience.unknown(), "payout_unknown"), (patience.overdue_submitted(), "payout_submitted")):
            assert index in rows.explain()


def submit(provider: FakeProvider, payout: Payout, *, seconds: float) -> None:
    """Let the provider have accepted the payout so many seconds ago."""
    provider.on_send(fake_provider.ACCEPTED)
    processing.process(payout.pk)
    database.age(payout, seconds=seconds)
    with database.unguarded("payouts_payouttransition", "payouts_guard_transition"):
        payout.transitions.update(created_at=Now() - timedelta(seconds=seconds))
