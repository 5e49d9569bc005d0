"""An installation of version 0.1 keeps its keys through the upgrade, and back."""

from __future__ import annotations

import importlib
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.exceptions import IrreversibleError
from django.db.models.functions import Now

from accounts.models import Merchant, MerchantAPIKey
from idempotency import fingerprint, retention
from idempotency.models import IdempotencyRecord
from payouts.models import Payout
from tests.support import database, factories, racing
from tests.support.retention import AT_ONCE

INSERT = """
INSERT INTO idempotency_idempotencyrecord
    (merchant_id, mode, key, fingerprint, response_status, response_body, response_headers)
VALUES (%s, 'test', %s, %s, 201, %s, '{"ETag": "\\"1\\""}')
"""


def migrate(to: str) -> None:
    call_command("migrate", "idempotency", to, verbosity=0)


def indexes() -> dict[str, str]:
    """Return the definition of each index by its name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'idempotency_idempotencyrecord'")
        return dict(cursor.fetchall())


def foreign_keys() -> list[Any]:
    """Return each with the number that a new one would not have."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid, conname, convalidated FROM pg_constraint "
            "WHERE conrelid = 'idempotency_idempotencyrecord'::regclass AND contype = 'f'"
        )
        return list(cursor.fetchall())


@pytest.fixture
def old_schema(transactional_db: None) -> Iterator[None]:
    """The schema of version 0.1."""
    migrate("0001")
    yield
    migrate("0003")


@pytest.mark.usefixtures("old_schema")
class TestUpgrade:
    def test_keeps_what_was_answered_and_learns_what_it_was_about(
        self, acme: Merchant, acme_key: MerchantAPIKey
    ) -> None:
        body = factories.payout_body()
        payout = Payout.objects.create(
            merchant=acme, mode="test", provider="sandbox", idempotency_key="k-1", **factories.payout_fields()
        )
        stored = f'{{"id":"{payout.id}"}}'.encode()
        old = fingerprint.of_request(fingerprint.Request("POST", "/api/payouts/", body))
        database.execute(INSERT, [acme.pk, "k-1", old, stored])

        migrate("0003")

        record = IdempotencyRecord.objects.get()
        assert (record.method, record.path) == ("POST", "/api/payouts/")
        assert (record.resource_type, record.resource_id) == ("payout", payout.id)
        client = factories.client_of(acme)
        replayed = factories.post_payout(client, key="k-1")
        assert (replayed.status_code, replayed.content, replayed.headers["ETag"]) == (201, stored, '"1"')
        assert replayed.headers["Content-Type"] == "application/json"
        retention.purge_responses(older_than=AT_ONCE)
        assert factories.post_payout(client, key="k-1").json()["id"] == str(payout.id)

    def test_fills_more_than_a_batch(self, acme: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.import_module("idempotency.migrations.0003_fill_and_index"), "BATCH", 2)
        ids = [uuid.uuid4() for _ in range(5)]
        for number, payout_id in enumerate(ids):
            database.execute(INSERT, [acme.pk, f"k-{number}", "v1:x", f'{{"id":"{payout_id}"}}'.encode()])

        migrate("0003")

        assert list(IdempotencyRecord.objects.order_by("id").values_list("resource_id", flat=True)) == ids

    def test_fills_what_a_process_of_version_0_1_writes_meanwhile(self, acme: Merchant) -> None:
        migrate("0003")
        payout_id = uuid.uuid4()

        with transaction.atomic():
            database.execute(
                "INSERT INTO idempotency_idempotencyrecord (merchant_id, mode, key, fingerprint) "
                "VALUES (%s, 'test', 'k-1', 'v1:x') ON CONFLICT (merchant_id, mode, key) DO NOTHING",
                [acme.pk],
            )
            database.execute(
                "UPDATE idempotency_idempotencyrecord SET response_status = 201, response_body = %s",
                [f'{{"id":"{payout_id}"}}'.encode()],
            )

        record = IdempotencyRecord.objects.get()
        assert (record.method, record.path) == ("POST", "/api/payouts/")
        assert (record.resource_type, record.resource_id) == ("payout", payout_id)
        assert retention.purge_responses(older_than=AT_ONCE) == 1

    def test_and_the_way_back_leave_the_rest_as_it_was(self) -> None:
        before, keys_before = indexes(), foreign_keys()
        migrate("0003")
        between, keys_between = indexes(), foreign_keys()

        migrate("0001")

        assert indexes() == before
        assert between.keys() - before.keys() == {"idempotency_record_kept", "idempotency_record_key"}
        assert len(before.keys() - between.keys()) == 1
        # Made anew it would lock both tables, and be lost if that were interrupted.
        assert keys_before == keys_between == foreign_keys()
        assert len(keys_before) == 1

    def test_goes_through_again_after_a_restore_of_the_old_schema(self) -> None:
        """pg_restore --clean drops what its dump has, and functions of a later schema are not among that."""
        migrate("0003")
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'idempotency%' "
                "AND pronamespace = 'public'::regnamespace"
            )
            left_behind = [row[0] for row in cursor.fetchall()]
        migrate("0001")
        for function in left_behind:
            database.execute(function)

        migrate("0003")

        assert len(left_behind) == 3

    def test_goes_on_where_it_was_interrupted(self) -> None:
        """Whatever an interrupted step has left under the name of an index, it is not what it should be."""
        migrate("0003")
        expected = indexes()
        migrate("0002")
        for name in expected.keys() - indexes().keys():
            database.execute(f"CREATE INDEX {name} ON idempotency_idempotencyrecord (id)")

        migrate("0003")

        assert indexes() == expected

    def test_is_not_undone_while_somebody_writes(self, acme: Merchant) -> None:
        """What is committed while the way back waits for its lock is seen by its check."""
        migrate("0003")
        migrate("0002")
        written, done = threading.Event(), threading.Event()
        key = {"merchant": acme, "mode": "test", "key": "k-1", "fingerprint": "v1:x"}

        def write() -> None:
            with transaction.atomic():
                made = {"path": "/api/payouts/1/cancel/", "resource_id": uuid.uuid4()}
                IdempotencyRecord.objects.create(**key, response_status=200, **made)
                written.set()
                # By then the way back waits for its lock, or has been refused it once.
                done.wait(0.5)

        def undo() -> None:
            assert written.wait(10)
            migrate("0001")

        refused = racing.run_together(write, undo)[1]

        assert isinstance(refused, IrreversibleError)
        assert IdempotencyRecord.objects.get().path == "/api/payouts/1/cancel/"
        database.execute("TRUNCATE idempotency_idempotencyrecord")

    @pytest.mark.parametrize("made", [{"response_purged_at": Now()}, {"path": "/api/payouts/1/cancel/"}])
    def test_is_not_undone_when_keys_would_be_forgotten(self, acme: Merchant, made: dict[str, Any]) -> None:
        migrate("0003")
        key = {"merchant": acme, "mode": "test", "key": "k-1", "fingerprint": "v1:x"}
        IdempotencyRecord.objects.create(**key, response_status=200, resource_id=uuid.uuid4(), **made)

        with pytest.raises(IrreversibleError, match="cannot be dropped"):
            migrate("0001")

        assert IdempotencyRecord.objects.get().resource_id is not None
        database.execute("TRUNCATE idempotency_idempotencyrecord")
