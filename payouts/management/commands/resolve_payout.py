from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from payouts import operators
from payouts.management import operating, statements
from payouts.management.operating import PayoutCommand
from payouts.management.statements import BadRow, Row
from payouts.models import Payout
from payouts.states import PayoutStatus
from rest.refusals import Refusal

TARGETS: Final = (PayoutStatus.PAID, PayoutStatus.FAILED, PayoutStatus.RETURNED)


class Command(PayoutCommand):
    help = "Record what became of the money of a payout, or of all payouts of a file, once there is evidence of it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("payout", nargs="?", type=operating.payout_id, help="the payout's id")
        operating.add_reason(parser)
        parser.add_argument(
            "--to",
            choices=[target.value for target in TARGETS],
            help="paid: the money moved; failed: it did not and will not; returned: it moved and came back",
        )
        parser.add_argument(
            "--evidence",
            default="",
            help="what shows it, such as a line of the statement; needed unless the payout requires attention, is "
            "contradicted, or its provider is gone or has said so itself",
        )
        parser.add_argument(
            "--csv",
            type=Path,
            metavar="FILE",
            help="resolve all payouts of a file with the columns payout, to, evidence, and amount and currency if you "
            "like: all of them, or none if a row is wrong. A payout may be named by its reference at the bank",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        one = options["payout"] is not None and options["to"] is not None
        many = options["csv"] is not None
        if one is many or (many and (options["payout"] or options["to"] or options["evidence"])):
            raise CommandError("Give the id of one payout and --to, or --csv with a file and nothing of these.")
        if one:
            super().handle(*args, **options)
            return
        rows = _read(options["csv"])
        with operating.refusals_as_command_errors():
            _resolve_all(rows, actor=operating.actor(), reason=options["reason"])
        self.stderr.write(f"Resolved: {len(rows)}.")

    def act(self, payout: Payout, *, actor: str, reason: str, options: Mapping[str, Any]) -> str:
        target = PayoutStatus(options["to"])
        operators.resolve_payout(payout, target=target, actor=actor, reason=reason, evidence=options["evidence"])
        return f"The payout is {target.value}."


def _read(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = statements.read(file)
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not in UTF-8. Nothing was done.") from error
    except BadRow as error:
        raise CommandError(f"{path}: {error} Nothing was done.") from error
    if not rows:
        raise CommandError(f"{path} has no payouts.")
    return rows


def _resolve_all(rows: Iterable[Row], *, actor: str, reason: str) -> None:
    """Resolve all payouts, or none. Always in the same order, so that two files cannot wait for each other."""
    try:
        with transaction.atomic():
            found = [(_payout(row), row) for row in rows]
            _refuse_twice(found)
            for payout, row in sorted(found, key=lambda pair: pair[0].pk):
                _resolve(payout, row, actor=actor, reason=reason)
    except BadRow as error:
        raise CommandError(f"{error} Nothing was done.") from error


def _payout(row: Row) -> Payout:
    """Find the payout by its id, or by its present reference at the bank."""
    # Two indexes are asked, one after the other. No reference of a payout is the id of another.
    payout = Payout.objects.filter(pk=row.named).first() or Payout.objects.with_reference(row.named).first()
    if payout is None:
        raise BadRow(row.line, f"there is no payout {row.named}.")
    is_id = payout.pk == row.named and row.number == 1
    if not is_id and row.number != payout.reference_number:
        raise BadRow(
            row.line,
            f"the bank has the payout {payout.pk} under the reference {payout.provider_key} by now. "
            "Look at it in the admin, and give its id if it is meant.",
        )
    return payout


def _refuse_twice(found: Iterable[tuple[Payout, Row]]) -> None:
    """Refuse a payout that the file names by its id and by its reference."""
    lines: dict[Any, int] = {}
    for payout, row in found:
        if payout.pk in lines:
            raise BadRow(row.line, f"the payout {payout.pk} is in line {lines[payout.pk]} as well.")
        lines[payout.pk] = row.line


def _resolve(payout: Payout, row: Row, *, actor: str, reason: str) -> None:
    if row.amount is not None and row.amount != payout.amount:
        raise BadRow(row.line, f"the amount {row.amount:f} is not that of the payout.")
    if row.currency and row.currency != payout.currency:
        raise BadRow(row.line, f"the currency {row.currency} is not that of the payout.")
    try:
        operators.resolve_payout(payout, target=row.target, actor=actor, reason=reason, evidence=row.evidence)
    except Refusal as error:
        raise BadRow(row.line, error.message) from error
