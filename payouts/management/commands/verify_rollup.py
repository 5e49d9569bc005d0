from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payouts import money
from payouts.management import operating
from payouts.summaries import rollup
from payouts.summaries.rollup_sql import Difference, Sums

#: Above this, only "more" is shown.
_SHOWN_MAX: Final = 20


class Command(BaseCommand):
    help = "Compare the roll-up of past days with the payouts. Changes nothing; exits with 1 where they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        operating.add_days(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        with operating.refusals_as_command_errors():
            days = rollup.closed_days(options["first"], options["last"])
            differing: list[str] = []
            shown = 0
            for day in days:
                found = rollup.verify_day(day, limit=_SHOWN_MAX + 1 - shown)
                for difference in found[: _SHOWN_MAX - shown]:
                    self.stdout.write(_sentence(difference))
                shown += len(found)
                differing += [day.isoformat()] if found else []
                if shown > _SHOWN_MAX:
                    self.stdout.write("And more.")
                    break
        if differing:
            raise CommandError(
                f"The roll-up differs from the payouts on {', '.join(differing)}. Run "
                f"`manage.py rebuild_rollup --from {differing[0]} --to {differing[-1]}`, and report it: it must not be."
            )
        self.stdout.write(f"The roll-up says what the payouts say, on {len(days)} closed days.")


def _sentence(difference: Difference) -> str:
    of = (
        f"Merchant {difference.merchant_id}, {difference.mode}, {difference.day}, {difference.status}, "
        f"{difference.currency}, {operating.printable(difference.provider)}"
    )
    kept, found = (_told(sums, difference.currency) for sums in (difference.kept, difference.found))
    return f"{of}: the roll-up says {kept}, the payouts say {found}."


def _told(sums: Sums | None, currency: str) -> str:
    if sums is None:
        return "nothing"
    amount, least, greatest = (
        money.format_amount(each, currency) for each in (sums.amount, sums.amount_min, sums.amount_max)
    )
    return f"{sums.payouts} payouts, {amount} in all, {least} to {greatest}"
