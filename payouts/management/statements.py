"""Resolutions of many payouts from a file: what a bank's statement says of each. Pure: no queries.

The file is CSV in UTF-8 with a heading. Required columns: `payout` (the id, or the reference under which the bank has
it), `to` (paid, failed or returned) and `evidence` (such as the line of the statement). Optional: `amount` and
`currency`, which must be those of the payout.
"""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from payouts import money
from payouts.models import references
from payouts.states import PayoutStatus
from rest import ids

REQUIRED: Final = ("payout", "to", "evidence")
OPTIONAL: Final = ("amount", "currency")
#: The rows are one transaction, which must not hold up the workers for long.
ROWS_MAX: Final = 10_000
_TARGETS: Final = (PayoutStatus.PAID, PayoutStatus.FAILED, PayoutStatus.RETURNED)


class BadRow(Exception):
    """The message says what is wrong with which line."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"Line {line}: {problem}")


@dataclass(frozen=True)
class Row:
    line: int
    #: An id of a payout, or the UUID of a reference.
    named: uuid.UUID
    #: The number of the reference. 1 for an id.
    number: int
    target: PayoutStatus
    evidence: str
    #: None: not stated.
    amount: Decimal | None
    currency: str


def read(lines: Iterable[str]) -> list[Row]:
    """Read all rows. Raises BadRow for the first that is not right."""
    table = csv.reader(lines, strict=True)
    rows: list[Row] = []
    seen: dict[uuid.UUID, int] = {}
    try:
        names = _heading(table)
        for cells in table:
            if not cells:
                continue
            row = _row(table.line_num, names, cells)
            if row.named in seen:
                raise BadRow(row.line, f"the payout {row.named} is in line {seen[row.named]} as well.")
            if len(rows) == ROWS_MAX:
                raise BadRow(row.line, f"a file has at most {ROWS_MAX} payouts. Split it.")
            seen[row.named] = row.line
            rows.append(row)
    except csv.Error as error:
        raise BadRow(table.line_num, f"it is no CSV: {error}.") from error
    return rows


def _heading(table: Iterator[list[str]]) -> list[str]:
    names = [name.strip() for name in next(table, [])]
    if not set(REQUIRED) <= set(names) <= {*REQUIRED, *OPTIONAL} or len(set(names)) != len(names):
        raise BadRow(1, f"the heading must be {','.join(REQUIRED)}, and may have {' and '.join(OPTIONAL)} as well.")
    return names


def _row(line: int, names: list[str], cells: list[str]) -> Row:
    if len(cells) != len(names):
        raise BadRow(line, f"it has {len(cells)} cells, and the heading has {len(names)}.")
    values = {name: cell.strip() for name, cell in zip(names, cells, strict=True)}
    named = _named(values["payout"])
    if named is None:
        raise BadRow(line, f"{values['payout']!r} is neither the id of a payout nor a reference of ours.")
    if values["to"] not in _TARGETS:
        raise BadRow(line, f"{values['to']!r} is none of {', '.join(_TARGETS)}.")
    if not values["evidence"]:
        raise BadRow(line, "the evidence is missing.")
    amount = values.get("amount", "")
    if amount and not money.AMOUNT.fullmatch(amount):
        raise BadRow(line, f"{amount!r} is no amount such as 10.50.")
    stated = Decimal(amount) if amount else None
    return Row(line, *named, PayoutStatus(values["to"]), values["evidence"], stated, values.get("currency", ""))


def _named(text: str) -> tuple[uuid.UUID, int] | None:
    payout_id = ids.parse(text)
    return references.read(text.lower()) if payout_id is None else (payout_id, 1)
