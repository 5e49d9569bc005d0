from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Merchant, MerchantAPIKey
from idempotency import retention
from idempotency.models import IdempotencyRecord
from payouts.engine import processing
from payouts.models import Payout, PayoutTransition
from tests.support import answers, database, factories, racing
from tests.support.retention import AT_ONCE

DAY = timedelta(days=1)
# Enough that PostgreSQL would not read all of it from end to end without need.
MANY = """
INSERT INTO idempotency_idempotencyrecord (
    merchant_id, mode, key, fingerprint, resource_type, resource_id, response_status, response_body, created_at
)
SELECT %s, 'test', 'many-' || number, 'v1:x', 'payout', gen_random_uuid(), 201, 'x', now() - interval '3 min' * number
FROM generate_series(1, 20000) AS number
"""


def add_records(merchant: Merchant, count: int, *, days_old: float = 0) -> None:
    """Add complete records, as old as that, behind the back of the service."""
    IdempotencyRecord.objects.bulk_create(
        IdempotencyRecord(
            merchant=merchant,
            mode="test",
            key=f"old-{days_old}-{number}",
            fingerprint="v1:x",
            resource_type="payout",
            resource_id=merchant.pk,
            response_status=201,
            response_body=b"{}",
            created_at=Now() - timedelta(days=days_old),
        )
        for number in range(count)
    )


def plan_of(statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement}")
        return "\n".join(row[0] for row in cursor.fetchall())


def kept() -> int:
    return IdempotencyRecord.objects.filter(response_body__isnull=False).count()


@pytest.mark.django_db
class TestPurge:
    def test_erases_the_answer_and_keeps_the_key(self, api: Client, acme: Merchant) -> None:
        payout = factories.post_payout(api, key="k-1").json()
        before = IdempotencyRecord.objects.get()

        purged = retention.purge_responses(older_than=AT_ONCE)

        record = IdempotencyRecord.objects.get()
        assert purged == 1
        assert (record.response_body, record.response_headers) == (None, {})
        assert record.response_purged_at is not None
        assert (record.merchant, record.mode, record.key) == (acme, "test", "k-1")
        assert record.fingerprint == before.fingerprint
        assert (str(record.resource_id), record.response_status) == (payout["id"], 201)

    def test_leaves_what_is_younger(self, acme: Merchant) -> None:
        add_records(acme, 1, days_old=29.9)
        add_records(acme, 1, days_old=30.1)

        purged = retention.purge_responses(older_than=30 * DAY)

        assert purged == 1
        assert IdempotencyRecord.objects.get(response_purged_at__isnull=True).key == "old-29.9-0"

    def test_does_it_once(self, acme: Merchant) -> None:
        add_records(acme, 1, days_old=31)
        retention.purge_responses(older_than=30 * DAY)
        before = IdempotencyRecord.objects.values().get()

        assert retention.purge_responses(older_than=30 * DAY) == 0
        assert IdempotencyRecord.objects.values().get() == before

    def test_takes_the_oldest_first_and_no_more_than_it_may(self, acme: Merchant) -> None:
        limits = retention.Limits(batch=3, batches_max=2)
        add_records(acme, 4, days_old=31)
        add_records(acme, 5, days_old=32)

        purged = [retention.purge_responses(older_than=30 * DAY, limits=limits) for _ in range(3)]

        assert purged == [6, 3, 0]
        assert kept() == 0

    def test_begins_with_the_oldest(self, acme: Merchant) -> None:
        limits = retention.Limits(batch=1, batches_max=1)
        for days_old in (31, 33, 32):
            add_records(acme, 1, days_old=days_old)

        retention.purge_responses(older_than=30 * DAY, limits=limits)

        assert IdempotencyRecord.objects.get(response_purged_at__isnull=False).key == "old-33-0"

    def test_begins_no_batch_after_its_time(self, acme: Merchant) -> None:
        """The sweeper has payouts to look after."""
        limits = retention.Limits(batch=1, round_seconds=0.0)
        add_records(acme, 3, days_old=31)

        assert [retention.purge_responses(older_than=30 * DAY, limits=limits) for _ in range(4)] == [1, 1, 1, 0]

    def test_misses_none_that_was_created_at_the_same_moment(self, acme: Merchant) -> None:
        limits = retention.Limits(batch=2)
        # One statement, so one moment.
        add_records(acme, 7, days_old=31)

        assert IdempotencyRecord.objects.values("created_at").distinct().count() == 1
        assert retention.purge_responses(older_than=30 * DAY, limits=limits) == 7

    def test_walks_over_what_is_purged_once(self, acme: Merchant) -> None:
        limits = retention.Limits(batch=2)
        for days_old in (33, 32, 31):
            add_records(acme, 2, days_old=days_old)

        with CaptureQueriesContext(connection) as queries:
            retention.purge_responses(older_than=30 * DAY, limits=limits)

        looked = [query["sql"] for query in queries if "FOR UPDATE" in query["sql"]]
        assert ['"created_at" >= ' in sql for sql in looked] == [False, True, True, True]

    def test_is_not_stopped_by_an_answer_of_which_nothing_would_be_left(self, acme: Merchant) -> None:
        """The database refuses to erase that one."""
        add_records(acme, 2, days_old=31)
        IdempotencyRecord.objects.create(
            merchant=acme,
            mode="test",
            key="poison",
            fingerprint="v1:x",
            response_status=201,
            response_body=b"{}",
            created_at=Now() - 60 * DAY,
        )

        assert retention.purge_responses(older_than=30 * DAY) == 2
        assert IdempotencyRecord.objects.get(response_body__isnull=False).key == "poison"

    def test_is_not_stopped_by_one_that_the_database_refuses(self, acme: Merchant) -> None:
        add_records(acme, 3, days_old=31)
        connection.check_constraints()
        # Undone with the test's transaction.
        database.execute(
            "ALTER TABLE idempotency_idempotencyrecord ADD CONSTRAINT no_poison "
            "CHECK (NOT (key = 'old-31-0' AND response_purged_at IS NOT NULL)) NOT VALID"
        )

        retention.purge_responses(older_than=30 * DAY)

        assert IdempotencyRecord.objects.get(response_purged_at__isnull=True).key == "old-31-0"

    def test_reads_no_table_from_end_to_end(self, acme: Merchant) -> None:
        database.execute(MANY, [acme.pk])
        database.execute("ANALYZE idempotency_idempotencyrecord")
        # However busy the machine is.
        limits = retention.Limits(round_seconds=60.0)
        with CaptureQueriesContext(connection) as queries:
            purged = retention.purge_responses(older_than=30 * DAY, limits=limits)
        statements = [query["sql"] for query in queries if "idempotency" in query["sql"]]

        plans = [plan_of(statement) for statement in statements]

        assert purged == limits.batch * limits.batches_max
        looking = [plan for sql, plan in zip(statements, plans, strict=True) if "FOR UPDATE" in sql]
        assert len(looking) == limits.batches_max
        assert [plan for plan in looking if "idempotency_record_kept" not in plan] == []
        assert [plan for plan in plans if "Seq Scan" in plan or "Sort" in plan] == []


@pytest.mark.django_db
class TestRetryAfterwards:
    @pytest.fixture
    def purged_api(self, api: Client) -> Client:
        factories.post_payout(api, key="k-1")
        retention.purge_responses(older_than=AT_ONCE)
        return api

    def test_gets_the_payout_as_it_is_now(self, purged_api: Client) -> None:
        payout = Payout.objects.get()
        processing.process(payout.id)

        response = factories.post_payout(purged_api, key="k-1")

        now = purged_api.get(f"/api/payouts/{payout.id}/")
        assert (response.status_code, response.headers["Idempotent-Replayed"]) == (200, "true")
        assert (response.content, now.json()["status"]) == (now.content, "paid")
        assert response.headers["ETag"] == f'"{Payout.objects.get().version}"'
        assert response.headers["Location"] == f"/api/payouts/{payout.id}/"
        assert response.headers["Content-Type"] == "application/json"
        assert (Payout.objects.count(), IdempotencyRecord.objects.count()) == (1, 1)

    def test_changes_nothing(self, purged_api: Client) -> None:
        before = [Payout.objects.values().get(), IdempotencyRecord.objects.values().get()]

        factories.post_payout(purged_api, key="k-1")

        assert [Payout.objects.values().get(), IdempotencyRecord.objects.values().get()] == before
        assert PayoutTransition.objects.count() == 1

    def test_with_another_body_is_refused(self, purged_api: Client) -> None:
        response = factories.post_payout(purged_api, factories.payout_body(amount="11"), key="k-1")

        assert answers.code(response) == (422, "idempotency_key_reused")
        assert Payout.objects.count() == 1

    def test_is_told_of_a_payout_that_was_deleted(self, purged_api: Client) -> None:
        purged_api.delete(f"/api/payouts/{Payout.objects.get().id}/")

        response = factories.post_payout(purged_api, key="k-1")

        assert answers.code(response) == (410, "payout_deleted")
        # Its provider may say later that it was paid after all.
        assert "money" not in response.json()["detail"]
        assert Payout.objects.count() == 1

    def test_of_a_cancel_gets_the_payout_too(self, api: Client, make_payout: Callable[..., Payout]) -> None:
        path = f"/api/payouts/{make_payout().id}/cancel/"
        api.post(path, content_type="application/json", headers={"Idempotency-Key": "k-1"})
        retention.purge_responses(older_than=AT_ONCE)

        response = api.post(path, content_type="application/json", headers={"Idempotency-Key": "k-1"})

        assert (response.status_code, response.json()["status"]) == (200, "canceled")
        assert response.headers["Idempotent-Replayed"] == "true"
        assert "Location" not in response.headers

    def test_of_a_change_does_not_change_again(self, api: Client, make_payout: Callable[..., Payout]) -> None:
        path = f"/api/payouts/{make_payout().id}/"
        first = {"comment": "first"}
        api.patch(path, first, content_type="application/json", headers={"Idempotency-Key": "k-1"})
        api.patch(path, {"comment": "second"}, content_type="application/json")
        retention.purge_responses(older_than=AT_ONCE)

        response = api.patch(path, first, content_type="application/json", headers={"Idempotency-Key": "k-1"})

        assert (response.status_code, response.json()["comment"]) == (200, "second")


@pytest.mark.django_db(transaction=True)
class TestConcurrently:
    def test_two_at_once_share_the_work(self, acme: Merchant) -> None:
        limits = retention.Limits(batch=5)
        add_records(acme, 50, days_old=31)

        purged = racing.run_together(*[lambda: retention.purge_responses(older_than=30 * DAY, limits=limits)] * 2)

        assert sum(purged) == 50 - kept()
        retention.purge_responses(older_than=30 * DAY, limits=limits)
        assert kept() == 0

    def test_does_not_wait_for_a_row_that_somebody_holds(self, acme: Merchant) -> None:
        add_records(acme, 2, days_old=31)
        locked, done = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic():
                IdempotencyRecord.objects.select_for_update().get(key="old-31-0")
                locked.set()
                assert done.wait(10)

        def purge() -> int:
            assert locked.wait(10)
            try:
                return retention.purge_responses(older_than=30 * DAY)
            finally:
                done.set()

        assert racing.run_together(hold, purge)[1] == 1

    def test_a_retry_at_the_same_moment_gets_one_answer_or_the_other(self, acme_key: MerchantAPIKey) -> None:
        first = factories.post_payout(factories.client_of(acme_key.merchant), key="k-1")
        client = factories.client_of(acme_key.merchant)

        results = racing.run_together(
            *[lambda: factories.post_payout(client, key="k-1")] * 4,
            lambda: retention.purge_responses(older_than=AT_ONCE),
        )

        assert results[4] == 1
        assert {response.status_code for response in results[:4]} <= {200, 201}
        assert {response.json()["id"] for response in results[:4]} == {first.json()["id"]}
        assert Payout.objects.count() == 1


@pytest.mark.django_db
class TestSweeper:
    def test_erases_what_is_older_than_the_setting(
        self, acme: Merchant, settings: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        settings.IDEMPOTENCY_RESPONSE_DAYS = 7
        add_records(acme, 2, days_old=6)
        add_records(acme, 3, days_old=8)

        call_command("sweep_payouts", "--once")

        assert "3 old answers erased." in capsys.readouterr().err
        assert kept() == 2
