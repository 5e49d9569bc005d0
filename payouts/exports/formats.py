"""Payouts as CSV and as NDJSON: rows in, bytes out. Pure.

A row has the values of the database, in the order of COLUMNS. Ids, times and JSON stay text, because objects would only
be turned into text again: for a million rows this saves half of the time. The output equals that of
payouts/api/documents.py; tests/integration/payouts/exports/test_export_reading.py compares the two.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from json.encoder import encode_basestring as quoted
from typing import Any, Final

from payouts import money, recipient_details
from payouts.representation import format_time

#: The columns that are read, in this order.
COLUMNS: Final = (
    "id", "status", "mode", "amount", "currency", "recipient_details", "comment", "reference", "metadata",
    "idempotency_key", "failure_code", "failure_message", "created_at", "updated_at",
    "provider", "provider_reference", "completed_at", "expires_at",
)  # fmt: skip
Row = tuple[
    str, str, str, Decimal, str, str, str, str, str, str | None, str, str, str, str, str, str, str | None, str | None
]  # fmt: skip

#: The columns of an object's fields are empty for a recipient that was sent as a text, and vice versa. New columns are
#: appended: some readers go by position.
CSV_COLUMNS: Final = (
    *COLUMNS[:5], *(f"recipient_{name}" for name in recipient_details.FIELDS), *COLUMNS[6:14], "recipient_text",
    *COLUMNS[14:],
)  # fmt: skip

# Characters that a spreadsheet may drop or hide at the start of a cell: controls, blanks, zero-width characters, marks
# of direction, the byte order mark, and blank letters.
_BLANKS: Final = (
    "\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f"
    "\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
)
_TRIGGERS: Final = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
# A spreadsheet takes a cell that begins with one of the triggers for a formula (OWASP, "CSV Injection"): the first
# four, their full-width forms, and three that it skips. Blanks may precede them. Leading apostrophes are included, so
# that a reader who removes one from each cell of this form gets the original text.
_FORMULA: Final = re.compile(f"'*[{_BLANKS}]*[{_TRIGGERS}]")
# The first characters of such cells: cheaper to check than the expression. All are in the first plane.
_SUSPECT: Final = frozenset(re.findall(f"['{_BLANKS}{_TRIGGERS}]", "".join(map(chr, range(0x10000)))))

_json: Final[Callable[[Any], str]] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ExportWriter:
    """Writes one export piece by piece, and keeps its totals so far."""

    content_type: str
    extension: str

    def __init__(self, *, bom: bool = False) -> None:
        """Start; `bom` begins a CSV with the UTF-8 byte order mark."""
        self._bom = "\ufeff" if bom else ""
        self.rows_count = 0
        self.size_bytes = 0
        self._sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._digest = hashlib.sha256()

    def header(self) -> bytes:
        """Return the bytes before the rows."""
        return self._counted(self._header())

    def rows(self, rows: Sequence[Row]) -> bytes:
        """Return the bytes of these rows."""
        self.rows_count += len(rows)
        sums = self._sums
        for row in rows:
            sums[row[4]] += row[3]
        return self._counted(self._rows(rows))

    def trailer(self) -> bytes:
        """Return the bytes after the rows."""
        return self._counted(self._trailer())

    @property
    def amounts(self) -> dict[str, str]:
        """The sum of each currency."""
        return {currency: money.format_amount(self._sums[currency], currency) for currency in sorted(self._sums)}

    @property
    def sha256(self) -> str:
        """The SHA-256 of all bytes so far, in hexadecimal."""
        return self._digest.hexdigest()

    def _counted(self, text: str) -> bytes:
        data = text.encode()
        self._digest.update(data)
        self.size_bytes += len(data)
        return data

    def _header(self) -> str:
        return ""

    def _rows(self, rows: Iterable[Row]) -> str:
        raise NotImplementedError

    def _trailer(self) -> str:
        return ""


class CsvWriter(ExportWriter):
    """RFC 4180: a header line and a line for each payout, each ended by CR LF. No trailer."""

    content_type = "text/csv; charset=utf-8"
    extension = "csv"

    def _header(self) -> str:
        return self._bom + _csv_lines([CSV_COLUMNS])

    def _rows(self, rows: Iterable[Row]) -> str:
        return _csv_lines(map(_cells, rows))


class NdjsonWriter(ExportWriter):
    """A JSON line for each payout, as the API shows it, and a last line with the totals."""

    content_type = "application/x-ndjson"
    extension = "ndjson"

    def _rows(self, rows: Iterable[Row]) -> str:
        return "".join(map(_line, rows))

    def _trailer(self) -> str:
        return _json({"trailer": {"rows": self.rows_count, "amounts": self.amounts, "sha256": self.sha256}}) + "\n"


FORMATS: Final[dict[str, type[ExportWriter]]] = {"csv": CsvWriter, "ndjson": NdjsonWriter}


def escape_formula(cell: str) -> str:
    """Return the text, with an apostrophe in front if a spreadsheet would take it for a formula."""
    if cell and cell[0] in _SUSPECT and _FORMULA.match(cell):
        return f"'{cell}"
    return cell


def _csv_lines(lines: Iterable[Sequence[str]]) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\r\n").writerows(lines)
    return written.getvalue()


def _cells(row: Row) -> tuple[str, ...]:
    (
        payout_id, status, mode, amount, currency, recipient_json, comment, reference, metadata, idempotency_key,
        failure_code, failure_message, created_at, updated_at, provider, provider_reference, completed_at,
        expires_at,
    ) = row  # fmt: skip
    recipient = json.loads(recipient_json)
    return (
        payout_id,
        status,
        mode,
        money.format_amount(amount, currency),
        currency,
        *[escape_formula(recipient_details.field_of(recipient, name)) for name in recipient_details.FIELDS],
        escape_formula(comment),
        escape_formula(reference),
        metadata,
        escape_formula(idempotency_key or ""),
        escape_formula(failure_code),
        escape_formula(failure_message),
        format_time(created_at),
        format_time(updated_at),
        escape_formula(recipient_details.text_of(recipient)),
        escape_formula(provider),
        escape_formula(provider_reference),
        "" if completed_at is None else format_time(completed_at),
        "" if expires_at is None else format_time(expires_at),
    )


def _line(row: Row) -> str:
    (
        payout_id, status, mode, amount, currency, recipient_json, comment, reference, metadata, idempotency_key,
        failure_code, failure_message, created_at, updated_at, provider, provider_reference, completed_at,
        expires_at,
    ) = row  # fmt: skip
    # Formatted by hand: a dictionary and the encoder take four times as long.
    return (
        f'{{"id":"{payout_id}","status":"{status}","mode":"{mode}",'
        f'"amount":"{money.format_amount(amount, currency)}","currency":"{currency}",'
        f'"recipient_details":{_recipient(recipient_json)},'
        f'"comment":{quoted(comment)},"reference":{quoted(reference)},"metadata":{metadata},'
        f'"idempotency_key":{"null" if idempotency_key is None else quoted(idempotency_key)},'
        f'"failure_code":{quoted(failure_code)},"failure_message":{quoted(failure_message)},'
        f'"created_at":"{format_time(created_at)}","updated_at":"{format_time(updated_at)}",'
        f'"provider":{quoted(provider)},"provider_reference":{quoted(provider_reference)},'
        f'"completed_at":{"null" if completed_at is None else quoted(format_time(completed_at))},'
        f'"expires_at":{"null" if expires_at is None else quoted(format_time(expires_at))}}}\n'
    )


def _recipient(text: str) -> str:
    return _json(recipient_details.shown(json.loads(text)))
