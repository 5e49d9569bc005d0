"""An installation of version 0.1 keeps its keys through the upgrade, and back."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from django.db import connection

from accounts.models import Merchant, MerchantAPIKey
from idempotency import fingerprint, retention
from idempotency.models import IdempotencyRecord
from payouts.models import Payout
from tests import factories
from tests.integration.idempotency.conftest import AT_ONCE
from tests.integration.payouts import database

INSERT = """
INSERT INTO idempotency_idempotencyrecord
    (merchant_id, mode, key, fingerprint, response_status, response_body, response_headers)
VALUES (%s, 'test', %s, %s, 201, %s, '{"ETag": "\\"1\\""}')
"""


def migrate(to: str) -> None:
    call_command("migrate", "idempotency", to, verbosity=0)


def index_names() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'idempotency_idempotencyrecord'")
        return {row[0] for row in cursor.fetchall()}


@pytest.fixture
def old_schema(transactional_db: None) -> Iterator[None]:
    """The schema of version 0.1."""
    migrate("0001")
    yield
    migrate("0004")


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

        migrate("0004")

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

        migrate("0004")

        assert list(IdempotencyRecord.objects.order_by("id").values_list("resource_id", flat=True)) == ids

    def test_fills_what_a_process_of_version_0_1_writes_meanwhile(self, acme: Merchant) -> None:
        migrate("0004")
        payout_id = uuid.uuid4()
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

    def test_and_the_way_back_leave_the_indexes_as_they_were(self) -> None:
        before = index_names()
        migrate("0004")
        between = index_names()

        migrate("0001")

        assert index_names() == before
        assert between - before == {"idempotency_record_kept", "idempotency_record_merchant"}
