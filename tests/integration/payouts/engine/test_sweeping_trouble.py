"""A sweep that meets rows that fail, rows that are locked, other sweepers and an unwell database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from payouts.engine import sweep as sweeping
from payouts.models import Payout, ProviderCallback
from payouts.providers import base
from tests.support import database, fake_provider, racing, telling
from tests.support.doorbell import Doorbell
from tests.support.fake_provider import FakeProvider

MakePayout = Callable[..., Payout]


@contextmanager
def poisoned(payout: Payout, *, table: str = "payouts_payoutattempt", also: str = "true") -> Iterator[None]:
    """Have the database refuse a row of this payout."""
    connection.check_constraints()
    check = f"NOT (payout_id = '{payout.pk}' AND {also})"
    database.execute(f"ALTER TABLE {table} ADD CONSTRAINT no_poison CHECK ({check}) NOT VALID")
    yield
    connection.check_constraints()
    database.execute(f"ALTER TABLE {table} DROP CONSTRAINT no_poison")


@contextmanager
def slowed(payout: Payout) -> Iterator[None]:
    """Have each change of this payout take longer than a statement may."""
    database.execute(
        "CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$"
    )
    database.execute(
        "CREATE TRIGGER stand_still BEFORE UPDATE ON payouts_payout "
        f"FOR EACH ROW WHEN (NEW.id = '{payout.pk}') EXECUTE FUNCTION stand_still()"
    )
    database.execute("SET statement_timeout = '100ms'")
    yield
    database.execute("RESET statement_timeout")
    database.execute("DROP FUNCTION stand_still CASCADE")


@contextmanager
def raising(code: str, *, payout: Payout, table: str, kind: str = "true") -> Iterator[None]:
    """Have the database end each statement with this error that writes such a row of this payout."""
    connection.check_constraints()
    database.execute(f"""
        CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'in trouble' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER trouble BEFORE INSERT ON {table} FOR EACH ROW
        WHEN (NEW.payout_id = '{payout.pk}' AND {kind}) EXECUTE FUNCTION trouble()
    """)
    yield
    connection.check_constraints()
    database.execute(f"DROP TRIGGER trouble ON {table}")
    database.execute("DROP FUNCTION trouble")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "code", ["40P01", "57014", "55P03", "P0001"], ids=["deadlock", "time-out", "lock", "exception"]
)
class TestTrouble:
    """A deadlock, a time-out or an exception at one row is reported, and stops nothing behind it."""

    def test_of_a_claim(
        self, dead_broker: None, make_payout: MakePayout, caplog: pytest.LogCaptureFixture, code: str
    ) -> None:
        bad, good = make_payout(), make_payout()
        database.make_due(bad, seconds=100)
        database.make_due(good)

        with raising(code, payout=bad, table="payouts_payoutattempt"):
            sweeping.sweep()

        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["pending", "paid"]
        assert caplog.messages.count("payout.claim.failed") == 1
        assert 50 < (database.due_in_seconds(bad) or 0) <= 60

    def test_of_a_lease_and_of_a_callback(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout,
        caplog: pytest.LogCaptureFixture, code: str,
    ) -> None:  # fmt: skip
        bad, other, good = (make_live_payout() for _ in range(3))
        for payout in (bad, other):
            fake_provider.abandon(provider, payout)
        provider.on_send(fake_provider.PAID)
        for payout in (bad, good):
            telling.store(payout.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))

        with raising(code, payout=bad, table="payouts_payouttransition"):
            swept = sweeping.sweep()

        assert (swept.expired, swept.callbacks) == (1, 1)
        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["processing", "paid"]
        reported = [record.message for record in caplog.records if record.message.startswith("sweep.row.")]
        assert len(reported) == 2


class TestPoison:
    """A row that cannot be processed stops nothing behind it."""

    @pytest.mark.django_db
    def test_a_payout(self, dead_broker: None, make_payout: MakePayout, caplog: pytest.LogCaptureFixture) -> None:
        bad, good = make_payout(), make_payout()
        database.make_due(bad, seconds=100)
        database.make_due(good)

        with poisoned(bad):
            swept = [sweeping.sweep(), sweeping.sweep()]

        # It is tried again, and not at once.
        assert swept == [sweeping.Sweep(due=2, processed=1), sweeping.Sweep()]
        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["pending", "paid"]
        assert caplog.messages.count("payout.claim.failed") == 1
        assert 50 < (database.due_in_seconds(bad) or 0) <= 60

    @pytest.mark.django_db(transaction=True)
    def test_a_lease(self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        bad, good = make_live_payout(), make_live_payout()
        fake_provider.abandon(provider, bad)
        provider.on_send(fake_provider.PAID)
        database.make_due(good)

        with poisoned(bad, table="payouts_payouttransition", also="to_status = 'unknown'"):
            swept = sweeping.sweep()

            bad.refresh_from_db()

        assert (swept.expired, swept.callbacks) == (0, 0)
        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["processing", "paid"]
        # It rests, so that it holds up no lease behind it.
        assert bad.lease_expires_at is not None
        assert 50 < (bad.lease_expires_at - timezone.now()).total_seconds() <= 60

    @pytest.mark.django_db
    def test_callbacks(self, make_live_payout: MakePayout) -> None:
        """Not even as many of them as are looked at in a round."""
        bad, good = make_live_payout(), make_live_payout()
        # Nothing else is to be done about them.
        for payout in (bad, good):
            database.make_due(payout, seconds=-3600)
        for _ in range(sweeping.BATCH):
            telling.store(bad.pk, "paid")
        telling.store(good.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))

        with poisoned(bad):
            swept = [sweeping.sweep(), sweeping.sweep(), sweeping.sweep()]

        assert swept == [sweeping.Sweep(), sweeping.Sweep(callbacks=1), sweeping.Sweep()]
        assert [database.statuses(payout)[-1] for payout in (bad, good)] == ["pending", "paid"]
        assert ProviderCallback.objects.filter(applied_at__isnull=True).count() == sweeping.BATCH

    @pytest.mark.django_db(transaction=True)
    def test_a_callback_that_takes_too_long(self, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        """A statement that is canceled is a row's trouble, and not the database's."""
        slow, good = make_live_payout(), make_live_payout()
        for payout in (slow, good):
            database.make_due(payout, seconds=-3600)
            telling.store(payout.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))

        with slowed(slow):
            swept = sweeping.sweep()

        assert swept == sweeping.Sweep(callbacks=1)
        assert [database.statuses(payout)[-1] for payout in (slow, good)] == ["pending", "paid"]

    @pytest.mark.django_db(transaction=True)
    def test_a_kind_of_work(self, dead_broker: None, make_payout: MakePayout, caplog: pytest.LogCaptureFixture) -> None:
        """No callback can be read, and the payout behind them is sent."""
        payout = make_payout()
        database.make_due(payout)
        database.execute("ALTER TABLE payouts_providercallback RENAME TO callbacks_elsewhere")

        try:
            swept = sweeping.sweep()
        finally:
            database.execute("ALTER TABLE callbacks_elsewhere RENAME TO payouts_providercallback")

        assert swept == sweeping.Sweep(due=1, processed=1)
        assert database.statuses(payout)[-1] == "paid"
        assert "sweep.row.failed" in caplog.messages

    @pytest.mark.django_db
    def test_is_tried_again_after_a_while(self, idle_payout: Payout) -> None:
        telling.store(idle_payout.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))
        with poisoned(idle_payout):
            sweeping.sweep()

        at_once = sweeping.sweep()
        ProviderCallback.objects.update(tried_at=F("tried_at") - sweeping.REENQUEUE_AFTER)
        later = sweeping.sweep()

        assert (at_once, later) == (sweeping.Sweep(), sweeping.Sweep(callbacks=1))
        assert database.statuses(idle_payout)[-1] == "paid"


@pytest.mark.django_db(transaction=True)
class TestTwoSweepers:
    PAYOUTS = 20

    @pytest.fixture
    def payouts(self, provider: FakeProvider, make_live_payout: MakePayout) -> list[Payout]:
        payouts = [make_live_payout() for _ in range(self.PAYOUTS)]
        for payout in payouts:
            database.make_due(payout)
        return payouts

    def test_share_the_work(self, dead_broker: None, provider: FakeProvider, payouts: list[Payout]) -> None:
        results = racing.run_together(sweeping.sweep, sweeping.sweep)

        assert sum(swept.processed for swept in results) == self.PAYOUTS
        sent = sorted(call.instruction.reference for call in provider.calls)
        assert sent == sorted(str(payout.pk) for payout in payouts)
        assert set(Payout.objects.values_list("status", flat=True)) == {"paid"}

    def test_share_the_leases_that_ran_out(
        self, doorbell: Doorbell, provider: FakeProvider, payouts: list[Payout]
    ) -> None:
        for payout in payouts:
            fake_provider.abandon(provider, payout)

        results = racing.run_together(sweeping.sweep, sweeping.sweep)

        assert sum(swept.expired for swept in results) == self.PAYOUTS
        assert {tuple(database.statuses(payout)) for payout in payouts} == {("pending", "processing", "unknown")}

    def test_apply_each_callback_once(self, payouts: list[Payout]) -> None:
        for payout in payouts:
            telling.store(payout.pk, "paid")
        ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))

        results = racing.run_together(sweeping.sweep, sweeping.sweep)

        assert sum(swept.callbacks for swept in results) == self.PAYOUTS
        assert {tuple(database.statuses(payout)) for payout in payouts} == {("pending", "processing", "paid")}
        assert {tuple(database.attempts(payout)) for payout in payouts} == {((1, "callback", "paid", ""),)}


@pytest.mark.django_db(transaction=True)
class TestLockedRow:
    """A process that was frozen in its transaction holds a row. It holds up that row alone."""

    def test_is_passed_over(self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout) -> None:
        locked, free = make_live_payout(), make_live_payout()
        for payout in (locked, free):
            database.make_due(payout)

        swept = sweep_while_somebody_holds(locked)

        assert swept == sweeping.Sweep(due=2, processed=1)
        assert [database.statuses(payout)[-1] for payout in (locked, free)] == ["pending", "paid"]

    @pytest.mark.parametrize("what", ["lease", "callback"])
    def test_is_not_waited_for_long(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout, what: str
    ) -> None:
        locked, free = make_live_payout(), make_live_payout()
        if what == "lease":
            fake_provider.abandon(provider, locked)
            provider.on_send(fake_provider.PAID)
        else:
            telling.store(locked.pk, "paid")
            ProviderCallback.objects.update(received_at=Now() - timedelta(seconds=3))
        database.make_due(free)
        before = database.statuses(locked)

        sweep_while_somebody_holds(locked)

        assert database.statuses(locked) == before
        assert database.statuses(free)[-1] == "paid"
        # It is done as soon as the row is free, or has been left alone for a while.
        ProviderCallback.objects.update(tried_at=None)
        sweeping.sweep()
        assert database.statuses(locked)[-1] == "paid"


def sweep_while_somebody_holds(payout: Payout) -> sweeping.Sweep:
    """Sweep with the patience that sweepers have for a lock, shortened."""
    locked, swept = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Payout.objects.select_for_update().get(pk=payout.pk)
            locked.set()
            assert swept.wait(10)

    def sweep() -> sweeping.Sweep:
        assert locked.wait(10)
        try:
            database.execute("SET lock_timeout = '50ms'")
            return sweeping.sweep()
        finally:
            swept.set()

    _, result = racing.run_together(hold, sweep)
    assert isinstance(result, sweeping.Sweep), result
    return result


@pytest.mark.django_db(transaction=True)
class TestDatabaseNotWell:
    def test_loses_no_answer_and_goes_on(
        self, dead_broker: None, provider: FakeProvider, make_live_payout: MakePayout
    ) -> None:
        """The connection breaks while the provider is called: what it said is written down over another one."""
        for seconds in (20, 10):
            database.make_due(make_live_payout(), seconds=seconds)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (backend,) = cursor.fetchone()

        def send(instruction: base.Instruction) -> base.Report:
            ended = racing.run_together(lambda: database.execute("SELECT pg_terminate_backend(%s, 5000)", [backend]))
            assert ended == [None]
            return fake_provider.PAID

        provider.on_send(send, fake_provider.PAID)

        swept = sweeping.sweep()

        assert swept == sweeping.Sweep(due=2, processed=2)
        assert provider.kinds == ["send", "send"]
        assert sorted(Payout.objects.values_list("status", flat=True)) == ["paid", "paid"]
