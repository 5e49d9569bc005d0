"""Reports at once: two of a merchant and half of the threads in each process, whatever kind they are of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from django.test import Client

from accounts.models import MerchantAPIKey
from payouts.api import places
from payouts.models import Export
from payouts.summaries import rendering
from tests.support import answers, database, exporting
from tests.support.listing import MakePayout

SUMMARY = "/api/payouts/summary/"


@pytest.fixture
def reading_two(acme_key: MerchantAPIKey) -> Iterator[ExitStack]:
    """Two reports of acme are being read."""
    with ExitStack() as reading:
        reading.enter_context(places.of_report(acme_key))
        reading.enter_context(places.of_report(acme_key))
        yield reading


class TestReports:
    def test_of_a_merchant_are_two(self, api: Client, globex_api: Client, reading_two: ExitStack) -> None:
        refused = api.get(SUMMARY)

        assert answers.code(refused) == (429, "too_many_reports")
        assert refused.headers["Retry-After"] == "2"
        assert globex_api.get(SUMMARY).status_code == 200
        reading_two.close()
        assert [api.get(SUMMARY).status_code for _ in range(3)] == [200] * 3

    def test_are_half_of_the_threads(self, globex_api: Client, reading_two: ExitStack, settings: Any) -> None:
        settings.WEB_THREADS = 4

        assert answers.code(globex_api.get(SUMMARY)) == (429, "too_many_reports")

    def test_are_streamed_exports_as_well(self, api: Client, reading_two: ExitStack, settings: Any) -> None:
        settings.WEB_THREADS = 4

        assert answers.code(api.get("/api/payouts/export/")) == (429, "too_many_reports")
        assert not Export.objects.exists()
        reading_two.close()
        # It has given back the only place among the files, and needs one among the reports for its query alone.
        response = api.get("/api/payouts/export/")
        assert [api.get(SUMMARY).status_code for _ in range(3)] == [200] * 3
        exporting.leave(response)

    def test_leave_a_page_without_its_total(self, api: Client, make_payout: MakePayout, reading_two: ExitStack) -> None:
        make_payout()

        page = api.get("/api/payouts/?include=total").json()

        assert (page["total"], len(page["results"])) == (None, 1)


@pytest.mark.django_db(transaction=True)
def test_a_summary_has_a_time_limit(api: Client, settings: Any) -> None:
    settings.REPORT_TIMEOUT_SECONDS = 1
    with database.holding("payouts_payout"):
        refused = api.get(f"{SUMMARY}?currency=EUR&search=abc")

    assert answers.code(refused) == (400, "selection_too_slow")


@pytest.mark.parametrize("count", [0, 1, rendering.ROWS_AT_ONCE, rendering.ROWS_AT_ONCE * 2 + 1])
def test_a_summary_is_written_in_pieces(count: int) -> None:
    summary = {"results": [{"provider": "b\u00e4nk", "count": number} for number in range(count)], "totals": [{"a": 1}]}

    written = rendering.render(summary)

    assert written.decode() == json.dumps(summary, ensure_ascii=False, separators=(",", ":"))
