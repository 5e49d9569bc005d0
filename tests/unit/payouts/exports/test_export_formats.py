"""What an export looks like, from rows as the database says them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payouts.exports import formats
from payouts.exports.formats import Row

ID = "01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f"
HEADER = (
    "id,status,mode,amount,currency,recipient_name,recipient_account,recipient_bank_code,recipient_country,"
    "recipient_address,comment,reference,metadata,idempotency_key,failure_code,failure_message,created_at,updated_at,"
    "recipient_text,provider,provider_reference,completed_at,expires_at\r\n"
)
#: What a spreadsheet takes for the beginning of a formula, or passes over before one.
TRIGGERS = ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"]

#: What is not seen before one.
BLANKS = [
    *map(chr, [*range(9), 0x0B, 0x0C, *range(0x0E, 0x21), 0x7F, 0x85, 0xA0, 0xAD]),
    "\u034f", "\u061c", "\u115f", "\u180e", "\u2000", "\u2009", "\u200b", "\u200d", "\u200e", "\u200f", "\u2028",
    "\u2029", "\u202a", "\u202e", "\u202f", "\u205f", "\u2060", "\u2066", "\u2069", "\u2800", "\u3000", "\u3164",
    "\ufe0f", "\ufeff", "\uffa0",
]  # fmt: skip
DOCUMENT = Path(__file__).parents[4] / "docs" / "exports.md"
[DOCUMENTED] = re.findall(r"^(\^'\+.*)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)


def row(**columns: Any) -> Row:
    """Return a row as psycopg gives it; `columns` replace."""
    values = {
        "id": ID,
        "status": "paid",
        "mode": "test",
        "amount": Decimal("10.5000"),
        "currency": "EUR",
        "recipient_details": '{"name": "Jane Doe", "account": "DE89"}',
        "comment": "",
        "reference": "",
        "metadata": "{}",
        "idempotency_key": None,
        "failure_code": "",
        "failure_message": "",
        "created_at": "2026-11-23 12:00:00+00",
        "updated_at": "2026-11-23 12:00:01.25+00",
        "provider": "sandbox",
        "provider_reference": "sandbox-1",
        "completed_at": "2026-11-23 12:00:01.25+00",
        "expires_at": None,
        **columns,
    }
    return cast("Row", tuple(values[name] for name in formats.COLUMNS))


def export(file_format: str, *rows: Row) -> bytes:
    writer = formats.FORMATS[file_format]()
    return writer.header() + writer.rows(rows) + writer.trailer()


def cells(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def undone(cell: str) -> str:
    """Take the apostrophe off again, as docs/exports.md says."""
    return cell[1:] if re.match(DOCUMENTED, cell) else cell


class TestCSV:
    def test_has_nothing_where_a_payout_is_not_over(self) -> None:
        pending = row(status="pending", provider_reference="", completed_at=None, expires_at="2026-11-24 12:00:00+00")

        (shown,) = cells(export("csv", pending).decode())

        assert (shown["provider"], shown["provider_reference"], shown["completed_at"]) == ("sandbox", "", "")
        shown_line = json.loads(export("ndjson", pending).decode().splitlines()[0])
        assert shown_line["completed_at"] is None
        assert shown["expires_at"] == shown_line["expires_at"] == "2026-11-24T12:00:00Z"

    def test_has_a_line_for_each_payout_below_the_names_of_the_columns(self) -> None:
        assert export("csv", row(), row(amount=Decimal("7.0000"), currency="JPY")).decode() == (
            HEADER + f"{ID},paid,test,10.50,EUR,Jane Doe,DE89,,,,,,{{}},,,,2026-11-23T12:00:00Z,"
            "2026-11-23T12:00:01.250000Z,,sandbox,sandbox-1,2026-11-23T12:00:01.250000Z,\r\n"
            f"{ID},paid,test,7,JPY,Jane Doe,DE89,,,,,,{{}},,,,2026-11-23T12:00:00Z,2026-11-23T12:00:01.250000Z,"
            ",sandbox,sandbox-1,2026-11-23T12:00:01.250000Z,\r\n"
        )

    def test_of_nothing_has_the_names_of_the_columns(self) -> None:
        assert export("csv").decode() == HEADER

    def test_keeps_quotes_commas_line_feeds_and_other_scripts(self) -> None:
        nasty = 'a "quoted", Zo\u00eb\r\n\u6771\u4eac \U0001f600;'
        made = export(
            "csv",
            row(
                comment=nasty,
                recipient_details=json.dumps({"name": nasty, "account": "1", "address": nasty, "country": "DE"}),
                metadata=json.dumps({nasty: nasty}),
            ),
        )

        (read,) = cells(made.decode())

        assert (read["comment"], read["recipient_name"], read["recipient_address"]) == (nasty, nasty, nasty)
        assert (read["recipient_bank_code"], read["recipient_country"]) == ("", "DE")
        assert json.loads(read["metadata"]) == {nasty: nasty}

    def test_has_a_recipient_that_was_sent_as_a_text_in_a_column_of_its_own(self) -> None:
        (read,) = cells(export("csv", row(recipient_details='"Card ****1234"')).decode())

        of_an_object = [read[name] for name in read if name.startswith("recipient_") and name != "recipient_text"]
        assert of_an_object == [""] * 5
        assert read["recipient_text"] == "Card ****1234"
        assert formats.CSV_COLUMNS[18:] == (
            "recipient_text",
            "provider",
            "provider_reference",
            "completed_at",
            "expires_at",
        )

    @pytest.mark.parametrize("trigger", TRIGGERS)
    @pytest.mark.parametrize(
        "column",
        [
            "comment",
            "reference",
            "idempotency_key",
            "failure_code",
            "failure_message",
            "recipient_name",
            "recipient_text",
        ],
    )
    def test_puts_an_apostrophe_before_what_a_spreadsheet_would_execute(self, column: str, trigger: str) -> None:
        formula = f"{trigger}HYPERLINK()"
        recipients: dict[str, Any] = {"recipient_name": {"name": formula, "account": "1"}, "recipient_text": formula}
        columns = {"recipient_details": json.dumps(recipients[column])} if column in recipients else {column: formula}

        (read,) = cells(export("csv", row(**columns)).decode())

        assert read[column] == f"'{formula}"

    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("a=1", "a=1"),
            ("", ""),
            ("'quoted'", "'quoted'"),
            ("'", "'"),
            # Who wrote these had an apostrophe in front already: it is one more, and can be told from one of ours.
            ("'=1", "''=1"),
            ("''=1", "'''=1"),
        ],
    )
    def test_touches_nothing_else(self, text: str, written: str) -> None:
        assert formats.escape_formula(text) == written

    @pytest.mark.parametrize("blank", BLANKS)
    @pytest.mark.parametrize("trigger", TRIGGERS)
    def test_sees_a_formula_behind_what_is_not_seen(self, blank: str, trigger: str) -> None:
        for formula in (f"{blank}{trigger}1", f"{blank * 3}{trigger}1", f"'{blank}{trigger}1"):
            assert formats.escape_formula(formula) == f"'{formula}"
            assert undone(f"'{formula}") == formula

    @pytest.mark.parametrize("text", [" a=1", "\u200b", "\ufeffJane", " 'a", "' '=1", "a \u200b=1"])
    def test_leaves_what_is_not_seen_before_other_things(self, text: str) -> None:
        assert formats.escape_formula(text) == text

    @given(st.text(alphabet=st.sampled_from(["'", "=", "-", "a", " ", "\t", "\uff0b", "\u200b", "\ufeff"]), max_size=6))
    def test_can_be_undone(self, text: str) -> None:
        written = formats.escape_formula(text)

        assert undone(written) == text
        assert not written.startswith(tuple(TRIGGERS))

    def test_may_begin_with_a_byte_order_mark(self) -> None:
        writer = formats.FORMATS["csv"](bom=True)

        written = writer.header() + writer.rows([row()]) + writer.trailer()

        assert written == b"\xef\xbb\xbf" + export("csv", row())
        assert (writer.size_bytes, writer.sha256) == (len(written), hashlib.sha256(written).hexdigest())


class TestNDJSON:
    def test_has_a_line_for_each_payout_and_what_they_add_up_to(self) -> None:
        lines = export("ndjson", row(comment='"\n\u00eb'), row(amount=Decimal("0.0500"))).decode().splitlines()

        assert json.loads(lines[0]) == {
            "id": ID,
            "status": "paid",
            "mode": "test",
            "amount": "10.50",
            "currency": "EUR",
            "recipient_details": {"name": "Jane Doe", "account": "DE89"},
            "comment": '"\n\u00eb',
            "reference": "",
            "metadata": {},
            "idempotency_key": None,
            "failure_code": "",
            "failure_message": "",
            "created_at": "2026-11-23T12:00:00Z",
            "updated_at": "2026-11-23T12:00:01.250000Z",
            "provider": "sandbox",
            "provider_reference": "sandbox-1",
            "completed_at": "2026-11-23T12:00:01.250000Z",
            "expires_at": None,
        }
        before = "".join(f"{line}\n" for line in lines[:2]).encode()
        assert json.loads(lines[2]) == {
            "trailer": {"rows": 2, "amounts": {"EUR": "10.55"}, "sha256": hashlib.sha256(before).hexdigest()}
        }
        assert len(lines) == 3

    def test_of_nothing_says_so(self) -> None:
        (line,) = export("ndjson").decode().splitlines()

        assert json.loads(line) == {"trailer": {"rows": 0, "amounts": {}, "sha256": hashlib.sha256().hexdigest()}}

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20))
    def test_keeps_any_text_on_one_line(self, text: str) -> None:
        made = export("ndjson", row(comment=text, reference=text, idempotency_key=text, failure_message=text))

        first, _, rest = made.partition(b"\n")

        read = json.loads(first)
        assert [read[name] for name in ("comment", "reference", "idempotency_key", "failure_message")] == [text] * 4
        assert rest.startswith(b'{"trailer":')

    def test_shows_of_a_recipient_what_the_api_shows(self) -> None:
        stored = '{"address": "Street 1", "account": "1", "name": "Jane", "internal": "x", "bank_code": "B"}'

        line = export("ndjson", row(recipient_details=stored)).splitlines()[0]

        assert b'"recipient_details":{"name":"Jane","account":"1","bank_code":"B","address":"Street 1"}' in line

    def test_has_a_recipient_that_was_sent_as_a_text_as_it_was_sent(self) -> None:
        line = export("ndjson", row(recipient_details='"Card ****1234"')).splitlines()[0]

        assert json.loads(line)["recipient_details"] == "Card ****1234"


class TestTotals:
    @pytest.mark.parametrize("file_format", ["csv", "ndjson"])
    def test_are_of_all_pieces(self, file_format: str) -> None:
        writer = formats.FORMATS[file_format]()
        rows = [
            row(amount=Decimal("999999999999.9900")),
            row(amount=Decimal("999999999999.9900")),
            row(amount=Decimal("1.2340"), currency="KWD"),
        ]

        data = writer.header() + writer.rows(rows[:1]) + writer.rows(rows[1:]) + writer.trailer()

        assert (writer.rows_count, writer.size_bytes) == (3, len(data))
        assert writer.amounts == {"EUR": "1999999999999.98", "KWD": "1.234"}
        assert writer.sha256 == hashlib.sha256(data).hexdigest()
