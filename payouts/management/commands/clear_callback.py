from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payouts import operators
from payouts.management import operating
from payouts.models import ProviderCallback


class Command(BaseCommand):
    help = "Clear the alarm of a callback that no payout explains, once you know what it was. The admin lists them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("callback", type=int, help="the callback's number, as `callback_id` in the log")
        parser.add_argument("--reason", required=True, help="what you found out; kept for ever")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        with operating.refusals_as_command_errors():
            callback = ProviderCallback.objects.filter(pk=options["callback"]).first()
            if callback is None:
                raise CommandError(f"There is no callback {options['callback']}.")
            operators.clear_callback(callback, actor=operating.actor(), reason=options["reason"])
        self.stderr.write("The alarm is cleared.")
