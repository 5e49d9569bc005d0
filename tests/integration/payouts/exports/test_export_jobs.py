"""The worker's part: who claims a job makes it, once, whatever happens to others."""

from __future__ import annotations

import gzip
import hashlib
import uuid
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import Client

from accounts.models import Merchant
from payouts import tasks
from payouts.exports import cursor, jobs, lifecycle
from payouts.models import Export, ExportChunk, Payout
from tests.support import database, exporting, racing
from tests.support.doorbell import Doorbell

URL = "/api/exports/"
#: A chunk for each payout.
ONE_EACH = jobs.Limits(pieces=cursor.Limits(rows=1, piece_bytes=1))

MakePayout = Callable[..., Payout]


def post(client: Client, body: Any = None, *, key: str | None = None) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post(URL, {} if body is None else body, content_type="application/json", headers=headers)


def chunks(export: Export) -> list[int]:
    return list(export.chunks.order_by("number").values_list("number", flat=True))


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Have something happen before the chunk of this number is stored, in the middle of a worker's task."""

    def arrange(number: int, act: Callable[[], object]) -> None:
        store = lifecycle.store

        def interrupted(export: Export, **arguments: Any) -> None:
            if arguments["number"] == number:
                monkeypatch.setattr(lifecycle, "store", store)
                act()
            store(export, **arguments)

        monkeypatch.setattr(lifecycle, "store", interrupted)

    return arrange


During = Callable[[int, Callable[[], object]], None]


def dies() -> None:
    raise SystemExit


@pytest.mark.django_db
class TestRun:
    def test_makes_the_file_and_says_what_is_in_it(self, acme: Merchant, make_payout: MakePayout) -> None:
        made = [make_payout(amount=Decimal("0.10")), make_payout(amount=Decimal(7), currency="JPY")]
        export = exporting.make_job(acme, format="ndjson", ordering="created_at")

        assert jobs.run(export.pk, limits=ONE_EACH) is None

        export.refresh_from_db()
        data = exporting.stored(export)
        payouts, trailer = exporting.ndjson_rows(data)
        assert [payout["id"] for payout in payouts] == [str(payout.id) for payout in made]
        assert trailer["amounts"] == export.amounts == {"EUR": "0.10", "JPY": "7"}
        assert (export.status, export.rows_count, export.size_bytes) == ("completed", 2, len(data))
        assert export.sha256 == hashlib.sha256(data).hexdigest()
        assert (export.lease_token, export.lease_expires_at, export.attempts_count) == (None, None, 1)
        # Members of gzip one behind the other are a file of gzip.
        bodies = [bytes(chunk.body) for chunk in export.chunks.order_by("number")]
        assert gzip.decompress(b"".join(bodies)) == data
        assert export.stored_bytes == sum(map(len, bodies))
        assert chunks(export) == [0, 1, 2]

    def test_makes_the_file_with_a_byte_order_mark(self, acme: Merchant, make_payout: MakePayout) -> None:
        make_payout()
        export, plain = exporting.make_job(acme, bom=True), exporting.make_job(acme)

        jobs.run(export.pk)
        jobs.run(plain.pk)

        export.refresh_from_db()
        data = exporting.stored(export)
        assert data == b"\xef\xbb\xbf" + exporting.stored(plain)
        assert (export.size_bytes, export.sha256) == (len(data), hashlib.sha256(data).hexdigest())

    def test_exports_what_the_filters_select_of_its_merchant_and_mode(
        self, acme: Merchant, globex: Merchant, make_payout: MakePayout
    ) -> None:
        wanted = make_payout(metadata={"team": "a", "x": "y"}, reference="r")
        make_payout(metadata={"team": "b"}, reference="r")
        make_payout(metadata={"team": "a"}, reference="s")
        filters = {"metadata": {"team": "a"}, "reference": "r", "status": ["pending", "paid"]}
        exports = [
            exporting.make_job(acme, filters=filters),
            exporting.make_job(globex, filters=filters),
            exporting.make_job(acme, filters=filters, mode="live"),
        ]

        for export in exports:
            jobs.run(export.pk)

        assert [exporting.ids(exporting.stored(export)) for export in exports] == [[wanted.id], [], []]

    def test_does_nothing_a_second_time(self, acme: Merchant, make_payout: MakePayout) -> None:
        make_payout()
        export = exporting.make_job(acme)
        jobs.run(export.pk)
        before = Export.objects.values().get()

        assert jobs.run(export.pk) is None

        assert Export.objects.values().get() == before

    def test_does_nothing_about_what_is_unknown(self, db: None) -> None:
        assert jobs.run(uuid.uuid4()) is None

    def test_leaves_streams_alone(self, acme_key: Any) -> None:
        stream = lifecycle.create_stream(exporting.spec(), api_key=acme_key, actor="merchant:test")
        exporting.run_out(stream)

        assert jobs.run(stream.pk) is None

        assert Export.objects.get().lease_token == stream.lease_token

    def test_gives_up_filters_that_are_no_longer_understood(self, acme: Merchant) -> None:
        export = exporting.make_job(acme, filters={"colour": "red"})

        jobs.run(export.pk)

        export.refresh_from_db()
        assert (export.status, export.error) == ("failed", "Its filters are no longer understood. Ask for it again.")

    def test_gives_up_what_cannot_be_found_in_time(self, acme: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
        def late(*_: Any, **__: Any) -> None:
            raise cursor.QueryTimeout

        monkeypatch.setattr(cursor, "read", late)
        export = exporting.make_job(acme)

        jobs.run(export.pk)

        export.refresh_from_db()
        assert (export.status, export.error) == (
            "failed",
            "To find these payouts takes too long. Ask for those of a shorter time.",
        )

    def test_gives_up_what_takes_longer_than_a_task_may(self, acme: Merchant) -> None:
        export = exporting.make_job(acme)

        jobs.run(export.pk, limits=jobs.Limits(job_seconds=-1.0))

        export.refresh_from_db()
        assert (export.status, chunks(export)) == ("failed", [])

    def test_ends_before_celery_ends_it_and_reads_for_less_than_a_lease(self) -> None:
        assert jobs.LIMITS.job_seconds < tasks.EXPORT_SOFT_SECONDS == tasks.run_export.soft_time_limit
        assert tasks.EXPORT_SOFT_SECONDS < tasks.EXPORT_SECONDS == tasks.run_export.time_limit
        assert lifecycle.LEASE.total_seconds() > jobs.LIMITS.reading_seconds


@pytest.mark.django_db
class TestFailure:
    def test_lets_another_try_at_once(self, acme: Merchant, make_payout: MakePayout, during: During) -> None:
        made = [make_payout() for _ in range(3)]
        export = exporting.make_job(acme, ordering="created_at")

        def breaks() -> None:
            raise OperationalError("the connection is lost")

        during(1, breaks)
        jobs.run(export.pk, limits=ONE_EACH)
        between = Export.objects.abandoned().count(), chunks(export)
        jobs.run(export.pk, limits=ONE_EACH)

        export.refresh_from_db()
        assert between == (1, [0])
        assert (export.status, export.attempts_count, export.rows_count) == ("completed", 2, 3)
        assert exporting.ids(exporting.stored(export)) == [payout.id for payout in made]

    def test_is_tried_three_times_and_no_more(self, acme: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
        def breaks(*_: Any, **__: Any) -> None:
            raise OperationalError("the connection is lost")

        monkeypatch.setattr(cursor, "read", breaks)
        export = exporting.make_job(acme)

        for _ in range(5):
            jobs.run(export.pk)

        export.refresh_from_db()
        assert (export.attempts_count, export.status) == (3, "running")
        assert lifecycle.fail_abandoned() == 1
        export.refresh_from_db()
        assert (export.status, export.error) == ("failed", "It could not be finished.")

    def test_of_a_worker_that_dies_leaves_nothing_twice(
        self, acme: Merchant, make_payout: MakePayout, during: During
    ) -> None:
        made = [make_payout() for _ in range(3)]
        export = exporting.make_job(acme, ordering="created_at")
        during(2, dies)
        with pytest.raises(SystemExit):
            jobs.run(export.pk, limits=ONE_EACH)
        assert chunks(export) == [0, 1]

        # Nobody else may take it as long as the dead one's time has not run out.
        assert jobs.run(export.pk, limits=ONE_EACH) is None
        assert chunks(export) == [0, 1]
        exporting.run_out(export)
        jobs.run(export.pk, limits=ONE_EACH)

        export.refresh_from_db()
        assert (export.status, export.attempts_count, chunks(export)) == ("completed", 2, [0, 1, 2])
        assert exporting.ids(exporting.stored(export)) == [payout.id for payout in made]

    def test_of_a_lease_ends_the_work_of_who_lost_it(
        self, acme: Merchant, make_payout: MakePayout, during: During
    ) -> None:
        made = [make_payout() for _ in range(3)]
        export = exporting.make_job(acme, ordering="created_at")

        def another_takes_over() -> None:
            exporting.run_out(export)
            jobs.run(export.pk, limits=ONE_EACH)

        # A worker that was frozen for longer than its lease, and wakes up.
        during(1, another_takes_over)
        jobs.run(export.pk, limits=ONE_EACH)

        export.refresh_from_db()
        assert (export.status, export.attempts_count, chunks(export)) == ("completed", 2, [0, 1, 2])
        assert exporting.ids(exporting.stored(export)) == [payout.id for payout in made]

    @pytest.mark.parametrize("number", [0, 2])
    def test_to_be_wanted_any_longer_ends_it(
        self, acme: Merchant, make_payout: MakePayout, during: During, number: int
    ) -> None:
        for _ in range(3):
            make_payout()
        export = exporting.make_job(acme)
        during(number, lambda: lifecycle.cancel(export))

        jobs.run(export.pk, limits=ONE_EACH)

        export.refresh_from_db()
        assert (export.status, export.error) == ("canceled", "")
        assert chunks(export) == list(range(number))


@pytest.mark.django_db
class TestConcurrency:
    def test_leaves_the_others_waiting_and_names_the_next(self, acme: Merchant) -> None:
        first, second, third = (exporting.make_job(acme) for _ in range(3))
        exporting.age(third, seconds=60)
        taken = exporting.claimed(first)

        assert django_settings.EXPORT_CONCURRENCY == 1
        assert jobs.run(second.pk) is None
        second.refresh_from_db()
        assert (second.status, second.attempts_count) == ("pending", 0)

        lifecycle.cancel(taken)
        # The oldest comes next.
        assert jobs.run(second.pk) == third.pk
        second.refresh_from_db()
        assert second.status == "completed"

    def test_merchants_take_turns(self, acme: Merchant, globex: Merchant) -> None:
        greedy = [exporting.make_job(acme) for _ in range(4)]
        patient = exporting.make_job(globex)

        # The messages arrive in the order of the requests.
        for export in (*greedy[:3], patient):
            jobs.run(export.pk)

        began = Export.objects.exclude(started_at=None).order_by("started_at").values_list("pk", flat=True)
        assert list(began) == [greedy[0].pk, patient.pk, greedy[2].pk]
        # The others have not been forgotten.
        assert lifecycle.next_pending() == greedy[1].pk

    def test_can_be_more(self, acme: Merchant, settings: Any) -> None:
        settings.EXPORT_CONCURRENCY = 2
        first, second, third = (exporting.make_job(acme) for _ in range(3))

        taken = [lifecycle.claim(export.pk) for export in (first, second, third)]

        assert [export is not None for export in taken] == [True, True, False]

    def test_counts_no_dead_worker(self, acme: Merchant) -> None:
        dead, waiting = exporting.make_job(acme), exporting.make_job(acme)
        exporting.claimed(dead)
        exporting.run_out(dead)

        assert lifecycle.claim(waiting.pk) is not None


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_of_two_workers_one_makes_it(self, acme: Merchant, make_payout: MakePayout) -> None:
        made = [make_payout() for _ in range(20)]
        export = exporting.make_job(acme, ordering="created_at")

        results = racing.run_together(*[lambda: jobs.run(export.pk)] * 4)

        assert results == [None] * 4
        export.refresh_from_db()
        assert (export.status, export.attempts_count, chunks(export)) == ("completed", 1, [0])
        assert exporting.ids(exporting.stored(export)) == [payout.id for payout in made]

    def test_of_claims_of_several_no_more_than_may_succeed(self, acme: Merchant, settings: Any) -> None:
        settings.EXPORT_CONCURRENCY = 2
        exports = [exporting.make_job(acme) for _ in range(5)]

        results = racing.run_together(*[partial(lifecycle.claim, export.pk) for export in exports])

        assert sum(result is not None for result in results) == 2
        assert Export.objects.held().count() == 2

    def test_with_who_cancels_it_leaves_one_of_two_ends(self, acme: Merchant, make_payout: MakePayout) -> None:
        make_payout()
        for _ in range(5):
            export = exporting.make_job(acme)
            _, canceled = racing.run_together(partial(jobs.run, export.pk), partial(lifecycle.cancel, export))

            export.refresh_from_db()
            if isinstance(canceled, Export):
                assert export.status == "canceled"
            else:
                assert (type(canceled).__name__, export.status) == ("ExportNotCancelable", "completed")

    def test_what_changes_while_it_is_made_is_not_in_it(
        self, acme: Merchant, make_payout: MakePayout, during: During
    ) -> None:
        before = [make_payout(comment="before") for _ in range(4)]
        export = exporting.make_job(acme, ordering="created_at")

        def change() -> None:
            Payout.objects.update(comment="after")
            make_payout(comment="after")

        during(1, lambda: racing.run_together(change))
        jobs.run(export.pk, limits=ONE_EACH)

        rows = exporting.csv_rows(exporting.stored(export))
        assert [row["id"] for row in rows] == [str(payout.id) for payout in before]
        assert {row["comment"] for row in rows} == {"before"}

    def test_the_database_going_away_costs_an_attempt(
        self, acme: Merchant, make_payout: MakePayout, during: During
    ) -> None:
        made = [make_payout() for _ in range(3)]
        export = exporting.make_job(acme, ordering="created_at")
        during(1, database.end_connection_of_this_thread)

        jobs.run(export.pk, limits=ONE_EACH)
        abandoned = Export.objects.abandoned().count()
        jobs.run(export.pk, limits=ONE_EACH)

        export.refresh_from_db()
        assert abandoned == 1
        assert (export.status, export.attempts_count) == ("completed", 2)
        assert exporting.ids(exporting.stored(export)) == [payout.id for payout in made]


@pytest.mark.django_db
class TestGuards:
    @pytest.mark.parametrize(
        ("columns", "constraint"),
        [
            ({"status": "lost", "finished_at": "2026-01-31T12:00:00Z"}, "export_status_known"),
            ({"mode": "fake"}, "export_mode_known"),
            ({"kind": "odd"}, "export_kind_known"),
            ({"format": "xml"}, "export_format_known"),
            ({"status": "running"}, "export_leased_while_running"),
            ({"lease_token": uuid.uuid4()}, "export_leased_while_running"),
            ({"status": "completed"}, "export_finished_once_final"),
            ({"finished_at": "2026-01-31T12:00:00Z"}, "export_finished_once_final"),
        ],
    )
    def test_are_in_the_database(self, acme: Merchant, columns: dict[str, Any], constraint: str) -> None:
        assert database.refused_by(lambda: exporting.make_job(acme, **columns)) == constraint

    def test_store_each_chunk_once(self, acme: Merchant) -> None:
        export = exporting.make_job(acme)
        ExportChunk.objects.create(export=export, number=0, body=b"")

        refused = database.refused_by(lambda: ExportChunk.objects.create(export=export, number=0, body=b""))

        assert refused == "export_chunk_number_unique"


@pytest.mark.django_db(transaction=True)
class TestDoorbell:
    def test_is_rung_once(self, doorbell: Doorbell, api: Client) -> None:
        post(api, key="export-1")
        post(api, key="export-1")

        assert (doorbell.rung("exports"), doorbell.rung()) == (1, 0)

    def test_is_not_rung_for_a_refusal(self, doorbell: Doorbell, api: Client) -> None:
        post(api, {"format": "xml"})

        assert doorbell.rung("exports") == 0

    @pytest.mark.usefixtures("dead_broker")
    def test_that_is_broken_is_no_error(self, api: Client) -> None:
        assert post(api).status_code == 202
        assert Export.objects.get().status == "pending"

    def test_that_is_heard_has_the_export_made(self, doorbell: Doorbell, api: Client, make_payout: MakePayout) -> None:
        payout = make_payout(amount=Decimal("1.50"))
        export_id = post(api).json()["id"]

        tasks.run_export.apply(args=(export_id,), throw=True)

        shown = api.get(f"{URL}{export_id}/").json()
        assert (shown["status"], shown["rows"], shown["amounts"]) == ("completed", 1, {"EUR": "1.50"})
        assert exporting.ids(exporting.stored(Export.objects.get())) == [payout.id]

    def test_rings_on_for_the_one_that_waits(self, doorbell: Doorbell, acme: Merchant) -> None:
        first, _ = exporting.make_job(acme), exporting.make_job(acme)

        tasks.run_export.apply(args=(str(first.pk),), throw=True)

        assert doorbell.rung("exports") == 1
