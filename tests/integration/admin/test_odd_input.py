"""Input that nobody means, where the answer is more than no defect (tests/chaos/test_admin_odd_input.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from django.db import connection, transaction
from django.test import Client

from payouts.models import Payout
from tests.integration.admin import pages

pytestmark = pytest.mark.django_db

LARGE: Final = "9" * 30


@pytest.fixture(autouse=True)
def _rows(make_processed_payout: Callable[..., Payout]) -> None:
    """A payout with all that belongs to it: an empty table would compare with nothing."""
    make_processed_payout(idempotency_key="k-1")


class TestLists:
    @pytest.mark.parametrize(
        "query",
        [
            f"amount__in={LARGE}0",
            "currency__range=a,b,c",
            "reference__range=%27",
            f"created_at__year={LARGE}",
            f"version={LARGE}",
            f"version__in={LARGE}",
            "metadata__regex=(",
        ],
    )
    def test_lead_back_from_a_value_that_the_database_cannot_compare_with(self, superuser: Client, query: str) -> None:
        response = superuser.get(f"{pages.PAYOUTS}?{query}")

        # Some can be compared with, and nothing is equal to them.
        assert response.status_code in {200, 302}
        if response.status_code == 302:
            assert response.headers["Location"] == f"{pages.PAYOUTS}?e=1"

    def test_do_not_take_a_defect_of_ours_for_a_mistake_in_the_address(self, superuser: Client) -> None:
        with transaction.atomic():
            savepoint = transaction.savepoint()
            superuser.raise_request_exception = False
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE payouts_payout RENAME COLUMN reference TO elsewhere")
            status = superuser.get(pages.PAYOUTS).status_code
            transaction.savepoint_rollback(savepoint)

        assert status == 500

    def test_leave_a_line_in_the_log_for_what_may_be_a_defect_of_ours(
        self, superuser: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        with transaction.atomic():
            savepoint = transaction.savepoint()
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE payouts_payout RENAME COLUMN reference TO elsewhere")
            response = superuser.get(f"{pages.PAYOUTS}?q=order-4711")
            transaction.savepoint_rollback(savepoint)

        assert response.headers["Location"] == f"{pages.PAYOUTS}?e=1"
        refused = [record for record in caplog.records if record.message == "admin.list.refused"]
        assert [record.__dict__["error"] for record in refused] == ["ProgrammingError"]
        assert "order-4711" not in caplog.text


class TestSuggestions:
    def test_there_are_none_for_nul(self, superuser: Client) -> None:
        query = "term=a%00&app_label=payouts&model_name=payout&field_name=merchant"

        response = superuser.get(f"/admin/autocomplete/?{query}")

        assert (response.status_code, response.json()["results"]) == (200, [])
