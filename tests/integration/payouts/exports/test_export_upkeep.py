"""What the sweeper does for exports."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now

from accounts.models import Merchant
from payouts.exports import jobs, lifecycle, sweep
from payouts.exports.sweep import Sweep
from payouts.models import Export, ExportChunk, Payout
from tests.support import database, exporting, racing
from tests.support.doorbell import Doorbell

pytestmark = pytest.mark.django_db

MakePayout = Callable[..., Payout]


def statuses() -> list[str]:
    return list(Export.objects.order_by("id").values_list("status", flat=True))


class TestRinging:
    def test_leaves_a_new_one_to_whom_was_just_rung(self, doorbell: Doorbell, acme: Merchant) -> None:
        exporting.make_job(acme)

        assert sweep.sweep() == Sweep()
        assert doorbell.rung("exports") == 0

    def test_rings_for_what_nobody_came_for_and_again_a_minute_later(self, doorbell: Doorbell, acme: Merchant) -> None:
        export = exporting.make_job(acme)
        rung = []
        for seconds in (3, 0, 50, 11):
            exporting.age(export, seconds=seconds)
            rung.append(sweep.sweep().rung)

        assert rung == [1, 0, 0, 1]
        assert doorbell.rung("exports") == 2

    def test_rings_for_one_whose_worker_has_died(self, doorbell: Doorbell, acme: Merchant) -> None:
        export = exporting.make_job(acme)
        exporting.claimed(export)
        assert sweep.sweep() == Sweep()

        exporting.run_out(export)

        assert sweep.sweep() == Sweep(rung=1)
        jobs.run(export.pk)
        assert statuses() == ["completed"]

    def test_rings_for_none_that_has_ended(self, doorbell: Doorbell, acme: Merchant) -> None:
        made, canceled = exporting.make_job(acme), exporting.make_job(acme)
        jobs.run(made.pk)
        lifecycle.cancel(canceled)
        for export in (made, canceled):
            exporting.age(export, seconds=3)

        assert sweep.sweep().rung == 0

    @pytest.mark.usefixtures("dead_broker")
    def test_makes_none_itself_while_the_broker_is_down(self, acme: Merchant, caplog: Any) -> None:
        for _ in range(3):
            exporting.age(exporting.make_job(acme), seconds=3)

        assert sweep.sweep().rung == 0

        # One failure is enough to know.
        assert caplog.messages.count("enqueue.failed") == 1
        assert statuses() == ["pending"] * 3

    @pytest.mark.django_db(transaction=True)
    def test_is_shared_by_sweepers(self, doorbell: Doorbell, acme: Merchant) -> None:
        for _ in range(6):
            exporting.age(exporting.make_job(acme), seconds=3)

        rounds = racing.run_together(*[sweep.sweep] * 3)

        assert sum(done.rung for done in rounds) == doorbell.rung("exports") == 6


class TestFailing:
    def test_gives_up_a_stream_whose_process_died(self, acme_key: Any) -> None:
        stream = lifecycle.create_stream(exporting.spec(), api_key=acme_key, actor="merchant:test")
        assert sweep.sweep() == Sweep()

        exporting.run_out(stream)

        assert sweep.sweep() == Sweep(failed=1)
        stream.refresh_from_db()
        assert (stream.status, stream.error) == ("failed", "It could not be finished.")

    def test_takes_a_lease_that_is_too_long_for_one_that_has_ended(self, doorbell: Doorbell, acme: Merchant) -> None:
        """The database's clock was ahead when it was taken."""
        export = exporting.make_job(acme)
        exporting.claimed(export)
        Export.objects.update(lease_expires_at=Now() + timedelta(days=1))

        assert sweep.sweep() == Sweep(rung=1)
        jobs.run(export.pk)

        assert statuses() == ["completed"]

    def test_gives_up_what_has_cost_three_workers(self, acme: Merchant) -> None:
        export = exporting.make_job(acme)
        done = []
        for _ in range(3):
            exporting.claimed(export)
            exporting.run_out(export)
            exporting.age(export, seconds=61)
            done.append(sweep.sweep())

        assert done == [Sweep(rung=1), Sweep(rung=1), Sweep(failed=1)]
        assert statuses() == ["failed"]


@pytest.fixture
def completed(acme: Merchant, make_payout: MakePayout) -> Export:
    make_payout()
    export = exporting.make_job(acme)
    jobs.run(export.pk)
    return export


class TestErasing:
    def test_lets_an_export_expire_and_erases_its_file(self, completed: Export) -> None:
        exporting.age(completed, seconds=7 * 86400 - 60)
        assert sweep.sweep() == Sweep()
        exporting.age(completed, seconds=61)

        assert sweep.sweep() == Sweep(expired=1, erased=1)

        completed.refresh_from_db()
        assert (completed.status, completed.is_stored, completed.rows_count) == ("expired", False, 1)
        assert completed.sha256 != ""
        assert sweep.sweep() == Sweep()

    def test_erases_what_a_canceled_one_has_left(self, acme: Merchant) -> None:
        export = exporting.claimed(exporting.make_job(acme))
        for number in range(3):
            lifecycle.store(export, number=number, body=b"x", rows_count=number)
        lifecycle.cancel(export)

        assert sweep.sweep() == Sweep(erased=3)
        assert ExportChunk.objects.count() == 0

    def test_erases_some_at_a_time_and_leaves_others_alone(
        self, acme: Merchant, completed: Export, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sweep, "CHUNKS_MAX", 2)
        export = exporting.claimed(exporting.make_job(acme))
        for number in range(5):
            lifecycle.store(export, number=number, body=b"x", rows_count=number)
        lifecycle.fail(export, "It broke.")

        erased = [sweep.sweep().erased for _ in range(4)]

        assert erased == [2, 2, 1, 0]
        assert exporting.csv_rows(exporting.stored(completed)) != []

    def test_looks_at_nothing_that_was_never_stored(self, acme: Merchant) -> None:
        lifecycle.cancel(exporting.make_job(acme))

        assert sweep.sweep() == Sweep()


class TestPoison:
    """An export that the database refuses to change stops no other."""

    @pytest.fixture
    def poison(self) -> Callable[[Export, str], None]:
        def refuse(export: Export, check: str) -> None:
            connection.check_constraints()
            # Undone with the test's transaction.
            database.execute(
                f"ALTER TABLE payouts_export ADD CONSTRAINT no_poison CHECK (NOT (id = '{export.pk}' AND {check}))"
                " NOT VALID"
            )

        return refuse

    def test_that_is_to_expire(
        self, acme: Merchant, completed: Export, poison: Callable[[Export, str], None], caplog: Any
    ) -> None:
        other = exporting.make_job(acme)
        jobs.run(other.pk)
        for export in (completed, other):
            exporting.age(export, seconds=8 * 86400)
        poison(completed, "status = 'expired'")

        assert sweep.sweep() == Sweep(expired=1, erased=1)
        assert statuses() == ["completed", "expired"]
        assert "sweep.row.failed" in caplog.messages

    def test_that_is_to_be_erased(self, acme: Merchant, poison: Callable[[Export, str], None]) -> None:
        for _ in range(2):
            export = exporting.claimed(exporting.make_job(acme))
            lifecycle.store(export, number=0, body=b"x", rows_count=1)
            lifecycle.cancel(export)
        bad = Export.objects.earliest("finished_at")
        poison(bad, "NOT is_stored")

        assert [sweep.sweep().erased for _ in range(2)] == [1, 0]
        assert ExportChunk.objects.get().export_id == bad.pk


def test_is_done_by_the_sweeper(completed: Export) -> None:
    exporting.age(completed, seconds=8 * 86400)

    call_command("sweep_payouts", "--once")

    assert statuses() == ["expired"]
    assert ExportChunk.objects.count() == 0
