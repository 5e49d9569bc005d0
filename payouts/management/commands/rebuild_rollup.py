from __future__ import annotations

import time
from datetime import date
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payouts.management import operating
from payouts.summaries import rollup

# Wait for a transaction from before the end of a day: the time that PostgreSQL lets ours be idle.
_PATIENCE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2


class Command(BaseCommand):
    help = (
        "Make the roll-up of past days again from the payouts, and close the days that the sweeper has not reached. "
        "Each day is a transaction: summaries are exact meanwhile, and one that is interrupted can be run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        operating.add_days(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        with operating.refusals_as_command_errors():
            days = rollup.closed_days(options["first"], options["last"])
            for day in days:
                cells = rollup.rebuild_day(day)
                self.stderr.write(f"{day}: {cells} cells")
            before = self._close(options["last"])
        self.stderr.write(f"{len(days)} days were made again. All days before {before} are closed.")

    def _close(self, last: date | None) -> date:
        """Close past days up to the last, and return the day before which all are closed."""
        horizon = rollup.take_horizon()
        before = rollup.closed_before()
        while before is None or (before <= horizon.day and (last is None or before <= last)):
            before = _close_next_day(horizon)
            self.stderr.write(f"All days before {before} are closed.")
        return before


def _close_next_day(horizon: rollup.Horizon) -> date:
    ends_at = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return rollup.close_next_day(horizon)
        except rollup.NotYetEnded as error:
            if time.monotonic() >= ends_at:
                raise CommandError(
                    "A transaction that was under way when the last day ended has not ended for "
                    f"{_PATIENCE_SECONDS:.0f} s (pg_stat_activity tells which; any database of the server counts). "
                    "What was done is kept. The sweeper, or this command again, does the rest once it has ended."
                ) from error
        time.sleep(_PAUSE_SECONDS)
