"""The rows of an export: true to the API, of one moment, in order, and found in time."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, DataError, connection, transaction
from django.db.models import FloatField, Func, IntegerField, QuerySet, Value
from django.db.models.functions import Cast

from accounts import services as accounts_services
from accounts.models import Merchant
from payouts import recipient_details
from payouts.api import documents
from payouts.exports import cursor as export_reading
from payouts.exports import formats
from payouts.models import Payout
from tests.support import database, exporting, racing

MakePayout = Callable[..., Payout]
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
#: A piece for two payouts.
TWO_EACH = export_reading.Limits(rows=2, piece_bytes=1)
NASTY = 'a "quoted", Zo\u00eb\r\n\u6771\u4eac \U0001f600; \\ \u2028 \x01'


def everything() -> QuerySet[Payout]:
    return Payout.objects.order_by("id")


def find(
    payouts: QuerySet[Payout], *, seconds_max: float = 30, limits: export_reading.Limits = export_reading.LIMITS
) -> export_reading.ExportCursor:
    """Find them for the one merchant that there is."""
    merchant_id = Merchant.objects.values_list("id", flat=True).first() or uuid.uuid4()
    return export_reading.read(payouts, merchant_id=merchant_id, mode="test", seconds_max=seconds_max, limits=limits)


def read(payouts: QuerySet[Payout], file_format: str = "ndjson") -> bytes:
    reading = find(payouts)
    try:
        return b"".join(reading.pieces(formats.FORMATS[file_format]()))
    finally:
        reading.close()


@pytest.fixture
def varied_payouts(make_payout: MakePayout, make_processed_payout: MakePayout) -> list[Payout]:
    """Payouts that have what a payout can have."""
    recipient = {"name": NASTY, "account": "sandbox_paid", "country": "DE", "bank_code": "B", "address": NASTY}
    return [
        make_payout(),
        make_payout(comment=NASTY, reference="=1", metadata={NASTY: NASTY, "a": "b"}, idempotency_key="key-1"),
        make_payout(recipient_details=recipient, amount=Decimal(1500), currency="JPY"),
        make_payout(recipient_details=NASTY),
        make_payout(amount=Decimal("1.234"), currency="KWD", created_at=NOON),
        make_payout(created_at=NOON + timedelta(milliseconds=250), updated_at=NOON + timedelta(microseconds=1)),
        make_processed_payout("sandbox_rejected_account_closed"),
        make_processed_payout(),
    ]


@pytest.mark.django_db
class TestRows:
    def test_are_what_the_api_shows(self, varied_payouts: list[Payout]) -> None:
        shown = [documents.one(payout) for payout in everything()]
        for document in shown:
            # What holds a payout up at this moment is no matter of a report.
            del document["waiting_reason"]

        payouts, trailer = exporting.ndjson_rows(read(everything()))

        assert payouts == shown
        assert trailer["rows"] == len(varied_payouts)

    def test_are_the_same_as_csv(self, varied_payouts: list[Payout]) -> None:
        payouts, _ = exporting.ndjson_rows(read(everything()))

        rows = exporting.csv_rows(read(everything(), "csv"))

        assert len(rows) == len(varied_payouts)
        for row, payout in zip(rows, payouts, strict=True):
            recipient = payout.pop("recipient_details")
            expected = {
                **{name: "" if value is None else value for name, value in payout.items()},
                **{
                    f"recipient_{name}": recipient_details.field_of(recipient, name)
                    for name in recipient_details.FIELDS
                },
                "recipient_text": recipient if isinstance(recipient, str) else "",
                "metadata": payout["metadata"],
                # The one that begins like a formula.
                "reference": payout["reference"].replace("=", "'="),
            }
            assert {**row, "metadata": json.loads(row["metadata"])} == expected

    def test_are_in_the_order_of_the_query(self, varied_payouts: list[Payout]) -> None:
        expected = sorted(varied_payouts, key=lambda payout: (payout.amount, payout.id))

        data = read(Payout.objects.order_by("amount", "id"), "csv")

        assert exporting.ids(data) == [payout.id for payout in expected]

    def test_of_a_query_that_can_find_nothing(self, varied_payouts: list[Payout]) -> None:
        assert exporting.csv_rows(read(Payout.objects.none(), "csv")) == []


@pytest.mark.django_db
class TestPieces:
    def test_are_as_large_as_they_may_be_and_together_the_whole(self, make_payout: MakePayout) -> None:
        for _ in range(25):
            make_payout(comment="x" * 400)
        reading = find(everything(), limits=export_reading.Limits(rows=4, piece_bytes=4000))

        pieces = list(reading.pieces(formats.CsvWriter()))

        reading.close()
        # Eight rows have over 4000 bytes: two fetches of four.
        assert [piece.count(b"x" * 400) for piece in pieces] == [8, 8, 8, 1]
        assert len(exporting.ids(b"".join(pieces))) == 25

    def test_are_forgotten_when_the_last_is_made(self, make_payout: MakePayout) -> None:
        make_payout()

        *_, _ = find(everything()).pieces(formats.CsvWriter())

        assert cursors() == 0

    def test_that_have_been_closed_are_no_longer_held(self, make_payout: MakePayout) -> None:
        make_payout()
        reading = find(everything())
        assert cursors() == 1

        reading.close()
        reading.close()

        assert cursors() == 0


def cursors() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE name LIKE 'payouts_export_%%'")
        return int(cursor.fetchone()[0])


@pytest.mark.django_db
class TestOwner:
    """A session of PostgreSQL may be another one than it was, and know a cursor of somebody else."""

    def test_is_looked_at_for_each_row(self, make_payout: MakePayout, globex: Merchant) -> None:
        api_key, _ = accounts_services.issue_api_key(globex, name="test")
        own = [make_payout() for _ in range(3)]
        make_payout(api_key=api_key)
        writer = formats.NdjsonWriter()
        reading = export_reading.read(
            everything(),
            merchant_id=own[0].merchant_id,
            mode="test",
            seconds_max=30,
            limits=TWO_EACH,
        )
        pieces = reading.pieces(writer)

        assert next(pieces).count(b"\n") == 2
        with pytest.raises(export_reading.ForeignRows):
            next(pieces)

        reading.close()
        assert writer.rows_count == 2

    def test_has_two_modes(self, make_payout: MakePayout) -> None:
        merchant_id = make_payout().merchant_id
        reading = export_reading.read(everything(), merchant_id=merchant_id, mode="live", seconds_max=30)

        with pytest.raises(export_reading.ForeignRows):
            next(reading.pieces(formats.CsvWriter()))

        reading.close()

    def test_has_a_cursor_that_no_other_has(self, make_payout: MakePayout) -> None:
        make_payout()
        reading, other = find(everything()), find(everything())

        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM pg_cursors WHERE name LIKE 'payouts_export_%%'")
            names = [uuid.UUID(name.removeprefix("payouts_export_")) for (name,) in cursor.fetchall()]
        reading.close()
        other.close()

        assert [name.version for name in names] == [4, 4]
        assert len(set(names)) == 2

    def test_of_a_cursor_that_is_gone_gets_an_error(self, make_payout: MakePayout) -> None:
        make_payout()
        make_payout()
        reading = find(everything(), limits=export_reading.Limits(rows=1, piece_bytes=1))
        pieces = reading.pieces(formats.CsvWriter())
        next(pieces)

        with transaction.atomic():
            database.execute("CLOSE ALL")
            with pytest.raises(DatabaseError, match="does not exist"):
                next(pieces)
            reading.close()
            transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
class TestOneMoment:
    def test_shows_nothing_that_is_committed_while_it_is_read(self, make_payout: MakePayout) -> None:
        before = [make_payout(comment="before") for _ in range(9)]
        reading = find(everything(), limits=TWO_EACH)
        pieces = reading.pieces(formats.CsvWriter())
        data = next(pieces)

        def change() -> None:
            Payout.objects.update(comment="after", deleted_at=NOON)
            make_payout(comment="after")

        assert racing.run_together(change) == [None]
        data += b"".join(pieces)
        reading.close()

        assert exporting.ids(data) == [payout.id for payout in before]
        assert {row["comment"] for row in exporting.csv_rows(data)} == {"before"}

    def test_holds_nothing_open_meanwhile(self, make_payout: MakePayout) -> None:
        make_payout()
        reading = find(everything())

        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (backend,) = cursor.fetchone()

        def look() -> Any:
            with connection.cursor() as cursor:
                cursor.execute("SELECT state, backend_xmin, xact_start FROM pg_stat_activity WHERE pid = %s", [backend])
                return cursor.fetchone()

        assert racing.run_together(look) == [("idle", None, None)]
        reading.close()


class Sleep(Func):
    """Have the database sleep for each row."""

    function = "pg_sleep"
    output_field = FloatField()
    template = "(%(function)s(%(expressions)s) IS NULL)::int::float"


@pytest.fixture
def slow_payouts(make_payout: MakePayout) -> QuerySet[Payout]:
    """Three payouts, each of which takes a second to find."""
    for _ in range(3):
        make_payout()
    return Payout.objects.alias(slow=Sleep(Value(1.0))).filter(slow=0).order_by("id")


@pytest.mark.django_db(transaction=True)
class TestTime:
    def test_is_limited_although_the_database_does_not_limit_it(self, slow_payouts: QuerySet[Payout]) -> None:
        # What is found when a cursor's own transaction commits is found after statement_timeout has been put off.
        database.execute("SET statement_timeout = '200ms'")
        started = time.monotonic()
        try:
            with pytest.raises(export_reading.QueryTimeout):
                find(slow_payouts, seconds_max=0.5)
        finally:
            database.execute("RESET statement_timeout")

        assert 0.1 < time.monotonic() - started < 2.5
        # The connection is as good as before.
        assert cursors() == 0
        assert len(exporting.ids(read(everything(), "csv"))) == 3

    def test_that_ends_together_with_the_query_ends_it_all_the_same(self) -> None:
        connection.ensure_connection()

        # The next statement may be the one that is cancelled then.
        with pytest.raises(export_reading.QueryTimeout), export_reading._at_most(0.05, connection.connection):
            time.sleep(0.3)

    def test_that_cannot_be_enforced_is_in_the_log(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refused(*_: Any, **__: Any) -> None:
            raise psycopg.OperationalError("too many connections")

        connection.ensure_connection()
        monkeypatch.setattr(psycopg.Connection, "cancel_safe", refused)

        with pytest.raises(export_reading.QueryTimeout), export_reading._at_most(0.05, connection.connection):
            time.sleep(0.3)

        assert caplog.messages.count("export.cancel.failed") == 1

    def test_is_not_blamed_for_what_else_goes_wrong(self) -> None:
        broken = Payout.objects.alias(ratio=Cast(Value("x"), IntegerField())).filter(ratio=1)

        with pytest.raises(DataError):
            find(broken)

        assert cursors() == 0

    def test_that_suffices_is_not_used_up(self, make_payout: MakePayout) -> None:
        make_payout()
        started = time.monotonic()

        assert len(exporting.ids(read(everything(), "csv"))) == 1

        assert time.monotonic() - started < 5
