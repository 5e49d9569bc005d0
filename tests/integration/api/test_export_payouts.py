"""The streamed export."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from payouts.models import Export, Payout
from tests.support import answers, exporting

URL = "/api/payouts/export/"

MakePayout = Callable[..., Payout]


def companion(client: Client, response: Any) -> Any:
    """Return the object that the answer names."""
    export_id = response.headers["Payouts-Export-Id"]
    assert response.headers["Link"] == f'</api/exports/{export_id}/>; rel="describedby"'
    return client.get(f"/api/exports/{export_id}/").json()


class TestByteOrderMark:
    def test_is_in_front_of_the_same_file(self, api: Client, make_payout: MakePayout) -> None:
        make_payout(comment="Zo\u00eb")
        plain = api.get(URL).getvalue()

        response = api.get(f"{URL}?bom=true")

        data = response.getvalue()
        assert data == b"\xef\xbb\xbf" + plain
        about = companion(api, response)
        assert (about["bytes"], about["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert (about["bom"], about["filters"]) == (True, {})

    @pytest.mark.parametrize("query", ["bom=false", "bom=false&format=ndjson"])
    def test_is_not_where_it_is_not_wanted(self, api: Client, query: str) -> None:
        response = api.get(f"{URL}?{query}")

        assert response.status_code == 200
        assert not response.getvalue().startswith(b"\xef\xbb\xbf")


class TestExportPayouts:
    def test_sends_a_file(self, api: Client, make_payout: MakePayout) -> None:
        older, newer = make_payout(), make_payout(amount=Decimal("1.50"))

        response = api.get(URL)

        assert response.status_code == 200
        data = response.getvalue()
        assert exporting.ids(data) == [newer.id, older.id]
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"].startswith('attachment; filename="payouts-test-20')
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Vary"] == "Accept-Encoding"
        assert "Content-Encoding" not in response.headers

    def test_says_beside_it_what_it_adds_up_to(self, api: Client, make_payout: MakePayout) -> None:
        make_payout(amount=Decimal("0.10"), comment="caf\u00e9")
        make_payout(amount=Decimal("0.20"))
        make_payout(amount=Decimal(7), currency="JPY")
        make_payout(amount=Decimal(7), currency="JPY", reference="other")

        response = api.get(URL, {"status": "pending, paid", "metadata[a]": "b", "ordering": "amount"})
        assert len(exporting.ids(response.getvalue())) == 0
        whole = api.get(URL, {"amount_max": "7"})
        data = whole.getvalue()

        shown = companion(api, whole)
        export = Export.objects.get(pk=shown["id"])
        assert shown == {
            "id": str(export.pk),
            "status": "completed",
            "kind": "stream",
            "mode": "test",
            "format": "csv",
            "filters": {"amount_max": "7"},
            "ordering": "-created_at",
            "bom": False,
            "rows": 4,
            "amounts": {"EUR": "0.30", "JPY": "14"},
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "error": "",
            "created_at": shown["created_at"],
            "started_at": shown["started_at"],
            "finished_at": shown["finished_at"],
            "expires_at": None,
            "download_url": None,
        }
        assert companion(api, response)["filters"] == {"status": ["pending", "paid"], "metadata": {"a": "b"}}
        assert export.actor.startswith("merchant:")

    def test_ends_ndjson_with_what_it_adds_up_to(self, api: Client, make_payout: MakePayout) -> None:
        make_payout(amount=Decimal("0.10"))
        make_payout(amount=Decimal("0.20"))

        response = api.get(URL, {"format": "ndjson"})

        data = response.getvalue()
        payouts, trailer = exporting.ndjson_rows(data)
        lines = data[: data.index(b'{"trailer"')]
        assert len(payouts) == 2
        assert trailer == {"rows": 2, "amounts": {"EUR": "0.30"}, "sha256": hashlib.sha256(lines).hexdigest()}
        # Beside it stands that of the whole file.
        assert companion(api, response)["sha256"] == hashlib.sha256(data).hexdigest()
        assert response.headers["Content-Type"] == "application/x-ndjson"

    def test_is_compressed_for_who_asks_for_it(self, api: Client, make_payout: MakePayout) -> None:
        for _ in range(50):
            make_payout()
        plain = api.get(URL).getvalue()

        response = api.get(URL, headers={"Accept-Encoding": "br, gzip;q=0.5"})

        squeezed = response.getvalue()
        assert response.headers["Content-Encoding"] == "gzip"
        assert response.headers["Vary"] == "Accept-Encoding"
        assert zlib.decompress(squeezed, 31) == plain
        assert len(squeezed) < len(plain) / 4
        assert companion(api, response)["sha256"] == hashlib.sha256(plain).hexdigest()

    def test_of_nothing_is_an_empty_file(self, api: Client) -> None:
        response = api.get(URL)

        assert exporting.csv_rows(response.getvalue()) == []
        assert companion(api, response)["rows"] == 0

    def test_leaves_deleted_payouts_out(self, api: Client, make_payout: MakePayout) -> None:
        api.delete(f"/api/payouts/{make_payout().id}/")

        assert exporting.ids(api.get(URL).getvalue()) == []

    def test_hides_other_merchants_payout(self, globex_api: Client, make_payout: MakePayout) -> None:
        make_payout()

        assert exporting.ids(globex_api.get(URL).getvalue()) == []

    def test_requires_api_key(self, client: Client, db: None) -> None:
        assert answers.code(client.get(URL)) == (401, "api_key_missing")
        assert Export.objects.count() == 0

    def test_head_reads_and_notes_nothing(self, api: Client, make_payout: MakePayout) -> None:
        make_payout()

        response = api.head(URL, {"format": "ndjson"}, headers={"Accept-Encoding": "gzip"})

        assert response.status_code == 200
        assert response.getvalue() == b""
        assert response.headers["Content-Type"] == "application/x-ndjson"
        assert response.headers["Content-Encoding"] == "gzip"
        assert "Payouts-Export-Id" not in response.headers
        assert Export.objects.count() == 0

    @pytest.mark.parametrize(
        ("parameters", "errors"),
        [
            ({"format": "xml"}, [("format", "invalid_choice")]),
            ({"format": ""}, [("format", "blank")]),
            ({"format": ["csv", "ndjson"]}, [("format", "repeated_parameter")]),
            ({"ordering": "id"}, [("ordering", "invalid_choice")]),
            ({"bom": "yes"}, [("bom", "invalid_choice")]),
            ({"bom": "True"}, [("bom", "invalid_choice")]),
            ({"bom": ""}, [("bom", "blank")]),
            ({"bom": ["true", "true"]}, [("bom", "repeated_parameter")]),
            ({"bom": "true", "format": "ndjson"}, [("bom", "bom_not_allowed")]),
            ({"status": "lost"}, [("status", "invalid_choice")]),
            ({"page_size": "5"}, [("page_size", "unknown_parameter")]),
            ({"cursor": "x"}, [("cursor", "unknown_parameter")]),
            ({"amount_min": "2", "amount_max": "1"}, [("amount_min", "crossed_range")]),
        ],
    )
    def test_refuses_what_it_does_not_understand(
        self, api: Client, parameters: dict[str, Any], errors: list[tuple[str, str]]
    ) -> None:
        response = api.get(URL, parameters)

        assert response.status_code == 400
        assert answers.field_errors(response) == errors
        assert Export.objects.count() == 0
