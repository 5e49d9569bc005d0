from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payouts import errors
from payouts.engine import pauses
from payouts.management import operating

WAIT_SECONDS: Final = 120
#: A day. A longer wait is surely forgotten.
WAIT_SECONDS_MAX: Final = 86_400
_POLL_SECONDS: Final = 0.5


class Command(BaseCommand):
    help = "Send nothing any more of a merchant, through a provider, or at all, until resume_payouts."

    def add_arguments(self, parser: CommandParser) -> None:
        operating.add_scope(parser)
        parser.add_argument("--reason", required=True, help="for the others who operate this installation")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="drain: return once nothing of it is in a worker's hands, also of what has been paused before",
        )
        parser.add_argument(
            "--wait-seconds",
            type=int,
            metavar="N",
            default=WAIT_SECONDS,
            help=f"with --wait: for how long at most (default {WAIT_SECONDS}); after that the exit code is 1",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        if not 1 <= options["wait_seconds"] <= WAIT_SECONDS_MAX:
            raise CommandError(f"--wait-seconds takes a whole number from 1 to {WAIT_SECONDS_MAX}.")
        with operating.refusals_as_command_errors():
            scope = operating.scope_of(options)
            self.stderr.write(_pause(scope, options))
            if options["wait"]:
                _wait(scope, seconds=options["wait_seconds"])
                self.stderr.write("Nothing of it is in a worker's hands any more.")


def _pause(scope: pauses.Scope, options: Mapping[str, Any]) -> str:
    try:
        pauses.pause(scope, actor=operating.actor(), reason=options["reason"])
    except errors.ProviderNotFound as error:
        names = ", ".join(pauses.providers())
        raise CommandError(f"There is no provider {scope.provider!r}. There are: {names}.") from error
    except errors.PausedAlready:
        if not options["wait"]:
            raise
        return f"Paused already: {scope}. The earlier reason stays."
    return f"Paused: {scope}."


def _wait(scope: pauses.Scope, *, seconds: int) -> None:
    ends_at = time.monotonic() + seconds
    try:
        while not pauses.is_drained(scope):
            if time.monotonic() >= ends_at:
                raise CommandError(
                    f"After {seconds} s something of it is still in a worker's hands. The pause stays: wait again with "
                    "the same command, or look at payouts that are processing."
                )
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt as error:
        raise CommandError("You have stopped waiting. The pause stays.", returncode=130) from error
