"""What the database refuses to do to an idempotency record, by any role."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from accounts.models import Merchant
from idempotency.models import IdempotencyRecord
from tests.support import database, factories

pytestmark = pytest.mark.django_db

TABLE = "idempotency_idempotencyrecord"
OTHER_ID = "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"
PURGE = "response_body = NULL, response_headers = '{}', response_purged_at = now()"


@pytest.fixture
def record(api: Client) -> IdempotencyRecord:
    factories.post_payout(api, key="k-1")
    return IdempotencyRecord.objects.get()


def columns() -> dict[str, Any]:
    return dict(IdempotencyRecord.objects.values().get())


@pytest.mark.usefixtures("record")
class TestGuards:
    def test_keep_the_key_for_ever(self) -> None:
        refused_by = database.refused_by(lambda: database.execute(f"DELETE FROM {TABLE}"))

        assert refused_by == "idempotency_key_kept_for_ever"
        assert IdempotencyRecord.objects.count() == 1

    @pytest.mark.parametrize(
        "assignment",
        [
            "key = 'other'",
            "mode = 'live'",
            "fingerprint = 'v1:other'",
            "method = 'PATCH'",
            "path = '/'",
            "created_at = now() - interval '1 year'",
            "id = id + 1",
        ],
    )
    def test_keep_whose_it_is_and_what_for(self, assignment: str) -> None:
        before = columns()

        refused_by = database.refused_by(lambda: database.execute(f"UPDATE {TABLE} SET {assignment}"))

        assert refused_by == "idempotency_record_fixed"
        assert columns() == before

    def test_keep_its_merchant(self, globex: Merchant) -> None:
        refused_by = database.refused_by(lambda: database.execute(f"UPDATE {TABLE} SET merchant_id = %s", [globex.pk]))

        assert refused_by == "idempotency_record_fixed"

    @pytest.mark.parametrize(
        "assignment",
        [
            "response_body = 'other'",
            "response_body = NULL",
            "response_headers = '{}'",
            "response_status = 200",
            f"resource_id = '{OTHER_ID}'",
            "resource_type = 'other'",
            f"{PURGE}, response_status = 200",
            f"{PURGE}, resource_id = '{OTHER_ID}'",
            "response_purged_at = now()",
        ],
    )
    def test_keep_the_answer_as_it_was(self, assignment: str) -> None:
        before = columns()

        refused_by = database.refused_by(lambda: database.execute(f"UPDATE {TABLE} SET {assignment}"))

        assert refused_by == "idempotency_response_fixed"
        assert columns() == before

    def test_let_the_answer_be_erased_once(self) -> None:
        database.execute(f"UPDATE {TABLE} SET {PURGE}")

        refused_by = [
            database.refused_by(lambda: database.execute(f"UPDATE {TABLE} SET response_body = 'new'")),
            database.refused_by(lambda: database.execute(f"UPDATE {TABLE} SET response_purged_at = NULL")),
        ]

        assert refused_by == ["idempotency_response_fixed"] * 2
        assert columns()["response_body"] is None


class TestConstraints:
    def test_know_the_modes(self, acme: Merchant) -> None:
        refused_by = database.refused_by(
            lambda: IdempotencyRecord.objects.create(merchant=acme, mode="none", key="k-1", fingerprint="v1:a")
        )

        assert refused_by == "idempotency_record_mode_known"

    def test_let_no_answer_go_of_which_nothing_could_be_told(self, acme: Merchant) -> None:
        """A record of version 0.1, which did not note what was created."""
        IdempotencyRecord.objects.create(
            merchant=acme, mode="test", key="k-1", fingerprint="v1:a", response_status=201, response_body=b"{}"
        )

        refused_by = database.refused_by(lambda: database.execute(f"UPDATE {TABLE} SET {PURGE}"))

        assert refused_by == "idempotency_purged_record_has_resource"
