"""A streamed export that does not come to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from payouts.exports import cursor, lifecycle, streams, views
from payouts.models import Export, Payout
from tests.support import exporting

URL = "/api/payouts/export/"
#: A piece for each payout.
ONE_EACH = cursor.Limits(rows=1, piece_bytes=1)

MakePayout = Callable[..., Payout]


def status_of(response: Any) -> tuple[str, str]:
    export = Export.objects.get(pk=response.headers["Payouts-Export-Id"])
    return export.status, export.error


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece for each payout."""
    monkeypatch.setattr(views.PayoutExportView, "limits", streams.Limits(pieces=ONE_EACH))


@pytest.mark.usefixtures("small_pieces")
class TestBreakingOff:
    def test_by_the_client_is_noted(self, api: Client, make_payout: MakePayout) -> None:
        for _ in range(5):
            make_payout()
        response: Any = api.get(URL)
        body = iter(response.streaming_content)
        next(body)
        next(body)

        exporting.leave(response)

        assert status_of(response) == ("canceled", "The client went away before the end.")
        assert Export.objects.get().rows_count == 2

    def test_by_the_client_before_the_first_byte_is_noted(self, api: Client, make_payout: MakePayout) -> None:
        make_payout()
        response: Any = api.get(URL)

        exporting.leave(response)

        assert status_of(response) == ("canceled", "The client went away before the end.")

    def test_by_a_failure_leaves_no_end(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            make_payout()
        response: Any = api.get(URL, {"format": "ndjson"})
        body = iter(response.streaming_content)
        data = next(body)
        monkeypatch.setattr(cursor.ExportCursor, "_fetch", broken)

        with pytest.raises(OperationalError):
            data += b"".join(body)

        assert b"trailer" not in data
        assert status_of(response) == ("failed", "It could not be read to its end.")

    def test_that_cannot_be_noted_is_what_is_reported(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        make_payout()
        response: Any = api.get(URL)
        body = iter(response.streaming_content)
        monkeypatch.setattr(cursor.ExportCursor, "_fetch", broken)
        monkeypatch.setattr(lifecycle, "fail", unnoted)

        # Not that the note failed: that is in the log, and the sweeper sees to the export.
        with pytest.raises(OperationalError, match="the connection is lost"):
            list(body)

        assert caplog.messages.count("export.note.failed") == 1
        assert status_of(response) == ("running", "")

    @pytest.mark.usefixtures("_renewed_always")
    def test_by_who_cancels_it(self, api: Client, make_payout: MakePayout) -> None:
        for _ in range(3):
            make_payout()
        response: Any = api.get(URL, {"format": "ndjson"})
        body = iter(response.streaming_content)
        data = next(body)

        canceled = api.post(
            f"/api/exports/{response.headers['Payouts-Export-Id']}/cancel/", content_type="application/json"
        )
        with pytest.raises(lifecycle.LeaseLost):
            data += b"".join(body)

        assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
        assert b"trailer" not in data
        assert status_of(response) == ("canceled", "")

    def test_whoever_cancels_at_the_last_moment_is_told_nothing_wrong(
        self, api: Client, make_payout: MakePayout
    ) -> None:
        make_payout()
        response: Any = api.get(URL)
        body = iter(response.streaming_content)
        next(body)
        api.post(f"/api/exports/{response.headers['Payouts-Export-Id']}/cancel/", content_type="application/json")

        # All rows are out, but the answer must not end as if it were whole.
        with pytest.raises(lifecycle.LeaseLost):
            list(body)

        assert status_of(response) == ("canceled", "")

    @pytest.mark.usefixtures("_renewed_always")
    def test_of_a_process_that_seemed_dead_is_no_completion(self, api: Client, make_payout: MakePayout) -> None:
        for _ in range(3):
            make_payout()
        response: Any = api.get(URL)
        body = iter(response.streaming_content)
        next(body)
        exporting.run_out(Export.objects.get())
        assert lifecycle.fail_abandoned() == 1

        with pytest.raises(lifecycle.LeaseLost):
            list(body)

        assert status_of(response) == ("failed", "It could not be finished.")

    @pytest.mark.usefixtures("_renewed_always")
    def test_is_not_feared_while_it_goes_on(self, api: Client, make_payout: MakePayout) -> None:
        for _ in range(3):
            make_payout()
        response: Any = api.get(URL)
        body = iter(response.streaming_content)
        next(body)
        exporting.run_out(Export.objects.get())

        next(body)
        next(body)

        assert Export.objects.held().count() == 1
        assert Export.objects.get().rows_count == 2
        list(body)
        assert status_of(response) == ("completed", "")


@pytest.fixture
def _renewed_always(small_pieces: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.PayoutExportView, "limits", streams.Limits(renewal_seconds=0.0, pieces=ONE_EACH))


def broken(*_: Any) -> None:
    raise OperationalError("the connection is lost")


def unnoted(*_: Any) -> None:
    raise OperationalError("no note either")
