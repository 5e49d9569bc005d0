"""The streamed export."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client
from psycopg.errors import QueryCanceled

from accounts.models import Merchant
from payouts.exports import cursor, lifecycle, streams
from payouts.models import Export, Payout
from tests.support import answers, database, exporting, factories, racing
from tests.support.listing import pages

URL = "/api/payouts/export/"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)

MakePayout = Callable[..., Payout]


def companion(client: Client, response: Any) -> Any:
    """Return the object that the answer names."""
    export_id = response.headers["Payouts-Export-Id"]
    assert response.headers["Link"] == f'</api/exports/{export_id}/>; rel="describedby"'
    return client.get(f"/api/exports/{export_id}/").json()


def status_of(response: Any) -> tuple[str, str]:
    export = Export.objects.get(pk=response.headers["Payouts-Export-Id"])
    return export.status, export.error


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece for each payout."""
    monkeypatch.setattr(cursor, "ROWS", 1)
    monkeypatch.setattr(cursor, "PIECE_BYTES", 1)


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


STATUSES = ("pending", "paid", "failed", "canceled")


@pytest.fixture
def assorted_payouts(make_payout: MakePayout) -> list[Payout]:
    """Forty payouts of few values, so that any filter selects some of them."""
    chance = random.Random(5)
    made = []
    for number in range(40):
        payout = make_payout(
            amount=Decimal(chance.choice(["1.00", "2.50", "100.00"])),
            currency=chance.choice(["EUR", "USD", "GBP"]),
            comment=chance.choice(["", "Refund of order", "Prize"]),
            reference=chance.choice(["", "r-1", "r-2"]),
            metadata=chance.choice([{}, {"team": "a"}, {"team": "b", "x": "y"}]),
            created_at=NOON + timedelta(hours=number // 4),
        )
        made.append(database.put_into(payout, chance.choice([s for s in database.PATHS if s in STATUSES])))
    return made


def selected(payouts: list[Payout], filters: dict[str, str]) -> list[Payout]:
    """Filter in plain Python."""
    tests: dict[str, Callable[[Payout, str], bool]] = {
        "status": lambda payout, value: payout.status in value.split(","),
        "currency": lambda payout, value: payout.currency == value,
        "amount_min": lambda payout, value: payout.amount >= Decimal(value),
        "amount_max": lambda payout, value: payout.amount <= Decimal(value),
        "created_after": lambda payout, value: payout.created_at >= datetime.fromisoformat(value),
        "created_before": lambda payout, value: payout.created_at < datetime.fromisoformat(value),
        "reference": lambda payout, value: payout.reference == value,
        "search": lambda payout, value: value.lower() in payout.comment.lower(),
        "metadata[team]": lambda payout, value: payout.metadata.get("team") == value,
    }
    return [payout for payout in payouts if all(tests[name](payout, value) for name, value in filters.items())]


def in_order(payouts: list[Payout], ordering: str) -> list[Payout]:
    field = ordering.lstrip("-")
    rows = sorted(payouts, key=lambda payout: (getattr(payout, field), payout.id))
    return rows[::-1] if ordering.startswith("-") else rows


def some_filters(chance: random.Random) -> dict[str, str]:
    choices = {
        "status": ["pending", "paid,failed", "canceled"],
        "currency": ["EUR", "USD"],
        "amount_min": ["2.50", "1.01"],
        "amount_max": ["2.50", "99.99"],
        "created_after": [(NOON + timedelta(hours=hours)).isoformat() for hours in (0, 3)],
        "created_before": [(NOON + timedelta(hours=hours)).isoformat() for hours in (5, 8)],
        "reference": ["r-1"],
        "search": ["refund", "RIZ"],
        "metadata[team]": ["a", "b"],
    }
    names = chance.sample(sorted(choices), k=chance.choice([0, 1, 1, 2, 2, 3]))
    filters = {name: chance.choice(choices[name]) for name in names}
    return {} if filters.get("amount_min", "0") > filters.get("amount_max", "9") else filters


class TestAgreement:
    def test_export_list_summary_and_plain_python_agree_whatever_is_asked_for(
        self, api: Client, assorted_payouts: list[Payout]
    ) -> None:
        chance = random.Random(7)
        found = 0
        for _ in range(40):
            filters, ordering = some_filters(chance), chance.choice(["-created_at", "created_at", "-amount", "amount"])
            expected = in_order(selected(assorted_payouts, filters), ordering)
            found += len(expected)

            data = api.get(URL, {**filters, "ordering": ordering}).getvalue()
            lines, trailer = exporting.ndjson_rows(
                api.get(URL, {**filters, "ordering": ordering, "format": "ndjson"}).getvalue()
            )

            ids = [str(payout.id) for payout in expected]
            assert [row["id"] for row in exporting.csv_rows(data)] == ids, (filters, ordering)
            assert [line["id"] for line in lines] == ids, (filters, ordering)
            assert self._listed(api, filters, ordering) == ids
            assert trailer["amounts"] == self._summed(api, filters) == sums(expected), filters
        # Or the filters would select nothing at all.
        assert found > 200

    def _listed(self, api: Client, filters: dict[str, str], ordering: str) -> list[str]:
        query = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in filters.items())
        url = f"/api/payouts/?page_size=7&ordering={ordering}&{query}".rstrip("&")
        return [payout["id"] for page in pages(api, url) for payout in page["results"]]

    def _summed(self, api: Client, filters: dict[str, str]) -> dict[str, str]:
        totals = api.get("/api/payouts/summary/", filters).json()["totals"]
        return {total["currency"]: total["amount"] for total in totals}


def sums(payouts: list[Payout]) -> dict[str, str]:
    added: defaultdict[str, Decimal] = defaultdict(Decimal)
    for payout in payouts:
        added[payout.currency] += payout.amount
    return {currency: f"{added[currency]:.2f}" for currency in sorted(added)}


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
def _renewed_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "RENEWAL_SECONDS", 0.0)


def broken(*_: Any) -> None:
    raise OperationalError("the connection is lost")


def unnoted(*_: Any) -> None:
    raise OperationalError("no note either")


class TestTooLarge:
    @pytest.mark.django_db(transaction=True)
    def test_is_refused_with_a_problem_document(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_payout()
        monkeypatch.setattr(streams, "READING_SECONDS", 0.2)
        with holding("payouts_payout"):
            response = api.get(URL)

        assert answers.code(response) == (400, "export_too_large")
        assert "POST /api/exports/" in response.json()["detail"]
        export = Export.objects.get()
        assert (export.status, export.error) == ("failed", response.json()["detail"])
        # Nothing is left of it that would be in the way of the next.
        assert len(exporting.ids(api.get(URL).getvalue())) == 1

    def test_that_the_database_gives_up_is_a_problem_document_too(
        self, api: Client, make_payout: MakePayout, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_payout()

        def canceled(*_: Any, **__: Any) -> None:
            raise OperationalError("canceling statement") from QueryCanceled("canceling statement")

        monkeypatch.setattr(cursor, "read", canceled)

        assert answers.code(api.get(URL)) == (503, "database_busy")
        assert Export.objects.get().status == "failed"


@contextmanager
def holding(table: str) -> Iterator[None]:
    """Hold a table on another connection, so that its readers wait."""
    settings = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port")
    with psycopg.connect(**{name: settings[name] for name in names}) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


class TestAtOnce:
    @pytest.fixture
    def open_two(self, api: Client, make_payout: MakePayout) -> Iterator[list[Any]]:
        """Two exports that are being sent."""
        make_payout()
        responses: list[Any] = [api.get(URL), api.get(URL)]
        yield responses
        for response in responses:
            exporting.leave(response)

    def test_there_are_two_at_most(self, api: Client, open_two: list[Any]) -> None:
        refused = api.get(URL)

        assert answers.code(refused) == (429, "too_many_exports")
        assert refused.headers["Retry-After"] == "10"
        assert Export.objects.count() == 2

    def test_one_that_has_ended_makes_room(self, api: Client, open_two: list[Any]) -> None:
        open_two[0].getvalue()

        assert len(exporting.ids(api.get(URL).getvalue())) == 1

    def test_one_whose_process_died_makes_room(self, api: Client, open_two: list[Any]) -> None:
        exporting.run_out(Export.objects.order_by("id")[0])

        assert len(exporting.ids(api.get(URL).getvalue())) == 1

    def test_others_have_room_of_their_own(self, acme: Merchant, globex_api: Client, open_two: list[Any]) -> None:
        other_mode = factories.client_of(acme, mode="live")

        assert [client.get(URL).getvalue()[:2] for client in (globex_api, other_mode)] == [b"id", b"id"]

    @pytest.mark.django_db(transaction=True)
    def test_of_many_that_ask_at_once_two_are_let_through(self, acme: Merchant, make_payout: MakePayout) -> None:
        key = make_payout().merchant.api_keys.get()

        def begin() -> Export:
            return lifecycle.create_stream(exporting.spec(), api_key=key, actor="merchant:test")

        results = racing.run_together(*[begin] * 5)

        assert sorted(type(result).__name__ for result in results) == [*["Export"] * 2, *["TooManyExports"] * 3]
        assert Export.objects.held().count() == 2
