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
        assert response.headers["ETag"] == f'"{export.sha256}"'
        # A proxy may store it, so that a slow client costs no thread.
        assert not {"Content-Encoding", "X-Accel-Buffering"} & response.headers.keys()

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


class TestPart:
    """A file of three chunks, asked for in parts."""

    @pytest.mark.parametrize("coding", ["identity", "gzip"])
    @pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 10_000), (3, 700), (-5, None), (500, None)])
    def test_is_that_of_the_whole(self, client: Client, link: str, coding: str, start: int, stop: int | None) -> None:
        whole = client.get(link, headers={"Accept-Encoding": coding})
        data, size = whole.getvalue(), int(whole.headers["Content-Length"])
        asked = f"bytes={start}" if start < 0 else f"bytes={start}-{'' if stop is None else stop - 1}"

        response = client.get(link, headers={"Accept-Encoding": coding, "Range": asked})

        part = data[start:stop]
        first = start % len(data)
        assert (response.status_code, response.getvalue()) == (206, part)
        assert response.headers["Content-Range"] == f"bytes {first}-{first + len(part) - 1}/{size}"
        assert response.headers["Content-Length"] == str(len(part))
        assert response.headers["ETag"] == whole.headers["ETag"]

    def test_that_there_is_not_is_refused(self, client: Client, export: Export, link: str) -> None:
        response = client.get(link, headers={"Range": f"bytes={export.size_bytes}-"})

        assert answers.code(response) == (416, "range_not_satisfiable")
        assert response.headers["Content-Range"] == f"bytes */{export.size_bytes}"

    def test_of_another_file_is_the_whole(self, client: Client, export: Export, link: str) -> None:
        headers = {"Range": "bytes=1-2", "If-Range": f'"{export.sha256}-gzip"'}

        response = client.get(link, headers=headers)

        assert (response.status_code, response.getvalue()) == (200, exporting.stored(export))
        assert client.get(link, headers={**headers, "If-Range": response.headers["ETag"]}).status_code == 206

    def test_of_head_is_the_whole(self, client: Client, export: Export, link: str) -> None:
        response = client.head(link, headers={"Range": "bytes=1-2"})

        assert (response.status_code, response.headers["Content-Length"]) == (200, str(export.size_bytes))
        assert response.headers["Accept-Ranges"] == "bytes"

    def test_breaks_off_where_it_is_erased_meanwhile(self, client: Client, export: Export, link: str) -> None:
        response: Any = client.get(link, headers={"Range": "bytes=1-"})
        export.chunks.filter(number__gt=0).delete()

        with pytest.raises(ExportChunk.DoesNotExist):
            list(response.streaming_content)


class TestKnown:
    def test_is_not_sent_again(self, client: Client, link: str) -> None:
        etag = client.head(link).headers["ETag"]

        response = client.get(link, headers={"If-None-Match": f'"x", W/{etag}'})

        assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", etag)
        assert response.headers["Vary"] == "Accept-Encoding"
        assert client.get(link, headers={"If-None-Match": etag, "Accept-Encoding": "gzip"}).status_code == 200


class TestAtOnce:
    """The limits of one process of four threads, of which files have one."""

    @pytest.fixture(autouse=True)
    def _threads(self, settings: Any) -> None:
        settings.WEB_THREADS = 4

    def test_another_file_waits(self, client: Client, api: Client, link: str) -> None:
        first = client.get(link)

        assert answers.code(refused := api.get("/api/payouts/export/")) == (429, "files_busy")
        assert refused.headers["Retry-After"] == "5"
        assert not Export.objects.filter(kind="stream").exists()
        exporting.leave(first)
        assert api.get("/api/payouts/export/").getvalue()

    def test_an_export_is_downloaded_twice(self, client: Client, link: str, settings: Any) -> None:
        settings.WEB_THREADS = 400
        responses = [client.get(link), client.get(link)]

        assert answers.code(refused := client.get(link)) == (429, "too_many_downloads")
        assert refused.headers["Retry-After"] == "5"
        exporting.leave(responses[0])
        # Without a body there is nothing to wait for.
        third = client.get(link)
        assert (client.head(link).status_code, third.status_code) == (200, 200)
        for response in (responses[1], third):
            exporting.leave(response)


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
