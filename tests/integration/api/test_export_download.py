"""The link to an export: valid for anyone, for a quarter of an hour."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import signing
from django.test import Client

from accounts.models import Merchant
from payouts.exports import cursor, jobs, lifecycle, links
from payouts.models import Export, ExportChunk
from tests.support import answers, exporting
from tests.support.listing import MakePayout


@pytest.fixture
def export(acme: Merchant, make_payout: MakePayout) -> Export:
    """A completed export of five payouts, in three chunks."""
    for _ in range(5):
        make_payout()
    made = exporting.make_job(acme)
    jobs.run(made.pk, limits=jobs.Limits(pieces=cursor.Limits(rows=2, piece_bytes=1)))
    made.refresh_from_db()
    return made


@pytest.fixture
def link(api: Client, export: Export) -> str:
    url: str = api.get(f"/api/exports/{export.pk}/").json()["download_url"]
    return url


class At(signing.TimestampSigner):
    """Signs as if it were another time."""

    age = timedelta(0)

    def timestamp(self) -> str:
        return signing.b62_encode(signing.b62_decode(super().timestamp()) - int(self.age.total_seconds()))


@pytest.fixture
def signed_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[Export, timedelta], str]:
    """Sign a link so long ago."""

    def sign(export: Export, age: timedelta) -> str:
        with monkeypatch.context() as patched:
            patched.setattr(At, "age", age)
            patched.setattr(signing, "TimestampSigner", At)
            return f"/api/exports/{export.pk}/download/?token={links.token_of(export.pk)}"

    return sign


class TestDownload:
    def test_needs_no_api_key(self, client: Client, export: Export, link: str) -> None:
        response = client.get(link)

        data = response.getvalue()
        assert response.status_code == 200
        assert data == exporting.stored(export)
        assert len(exporting.ids(data)) == 5
        assert response.headers["Content-Length"] == str(len(data)) == str(export.size_bytes)
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"].startswith('attachment; filename="payouts-test-')
        assert response.headers["Cache-Control"] == "no-store"
        assert "Content-Encoding" not in response.headers

    def test_is_sent_as_it_is_stored_to_who_takes_gzip(self, client: Client, export: Export, link: str) -> None:
        response = client.get(link, headers={"Accept-Encoding": "gzip"})

        data = response.getvalue()
        assert ExportChunk.objects.count() == 3
        assert gzip.decompress(data) == exporting.stored(export)
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Content-Length"] == str(len(data)) == str(export.stored_bytes)

    def test_can_be_done_again(self, client: Client, link: str) -> None:
        assert client.get(link).getvalue() == client.get(link).getvalue()

    def test_head_says_how_large_it_is(self, client: Client, export: Export, link: str) -> None:
        response = client.head(link)

        assert response.getvalue() == b""
        assert response.headers["Content-Length"] == str(export.size_bytes)

    def test_breaks_off_where_it_is_erased_meanwhile(self, client: Client, export: Export, link: str) -> None:
        response: Any = client.get(link)
        body = iter(response.streaming_content)
        next(body)
        export.chunks.all().delete()

        with pytest.raises(ExportChunk.DoesNotExist):
            list(body)


class TestLink:
    def test_holds_for_a_quarter_of_an_hour(self, client: Client, export: Export, signed_before: Any) -> None:
        young, old = (signed_before(export, timedelta(minutes=15, seconds=seconds)) for seconds in (-5, 5))

        assert client.get(young).status_code == 200
        assert answers.code(client.get(old)) == (410, "download_link_expired")

    @pytest.mark.parametrize("change", ["", "?token=", "?token=1:2", "?token=nonsense"])
    def test_that_is_none_of_ours_is_refused(self, client: Client, export: Export, change: str) -> None:
        response = client.get(f"/api/exports/{export.pk}/download/{change}")

        # An empty parameter is refused before.
        expected = (400, "invalid_request") if change == "?token=" else (403, "download_link_invalid")
        assert answers.code(response) == expected

    @pytest.mark.parametrize("position", [0, 3, -1])
    def test_that_was_tampered_with_is_refused(self, client: Client, link: str, position: int) -> None:
        address, token = link.split("?token=")
        letters = list(token)
        letters[position] = "A" if letters[position] != "A" else "B"

        response = client.get(f"{address}?token={''.join(letters)}")

        assert answers.code(response) == (403, "download_link_invalid")

    def test_of_another_export_is_refused(self, client: Client, acme: Merchant, export: Export, link: str) -> None:
        other = exporting.make_job(acme)
        jobs.run(other.pk)

        response = client.get(link.replace(str(export.pk), str(other.pk)))

        assert answers.code(response) == (403, "download_link_invalid")

    def test_of_nothing_is_refused(self, client: Client, db: None) -> None:
        unknown = uuid.uuid4()

        response = client.get(f"/api/exports/{unknown}/download/?token={links.token_of(unknown)}")

        assert answers.code(response) == (410, "export_not_kept")

    def test_of_a_suspended_merchant_is_refused(self, client: Client, acme: Merchant, link: str) -> None:
        Merchant.objects.filter(pk=acme.pk).update(is_active=False)

        assert answers.code(client.get(link)) == (403, "merchant_suspended")

    def test_ends_with_what_it_leads_to(self, client: Client, api: Client, export: Export, link: str) -> None:
        exporting.age(export, seconds=8 * 86400)
        before_the_sweeper = answers.code(client.get(link))
        lifecycle.expire()

        assert before_the_sweeper == answers.code(client.get(link)) == (410, "export_not_kept")
        shown = api.get(f"/api/exports/{export.pk}/").json()
        assert (shown["status"], shown["download_url"], shown["rows"]) == ("expired", None, 5)

    @pytest.mark.parametrize("columns", [{}, {"status": "canceled"}, {"kind": "stream"}])
    def test_of_what_was_never_made_is_refused(self, client: Client, acme: Merchant, columns: dict[str, str]) -> None:
        finished = {"finished_at": "2026-01-31T12:00:00Z"} if "status" in columns else {}
        made = exporting.make_job(acme, **columns, **finished)

        response = client.get(f"/api/exports/{made.pk}/download/?token={links.token_of(made.pk)}")

        assert answers.code(response) == (410, "export_not_kept")

    def test_is_offered_for_nothing_else(self, api: Client, acme: Merchant) -> None:
        export = exporting.make_job(acme)

        assert api.get(f"/api/exports/{export.pk}/").json()["download_url"] is None

    def test_takes_no_other_parameters(self, client: Client, link: str) -> None:
        assert answers.field_errors(client.get(f"{link}&a=b")) == [("a", "unknown_parameter")]

    def test_has_one_method(self, client: Client, link: str) -> None:
        assert answers.code(client.post(link)) == (405, "method_not_allowed")

    def test_is_no_way_in_for_api_keys(self, client: Client, export: Export) -> None:
        headers = {"Authorization": "Api-Key nonsense"}

        response = client.get(f"/api/exports/{export.pk}/download/", headers=headers)

        assert answers.code(response) == (403, "download_link_invalid")
