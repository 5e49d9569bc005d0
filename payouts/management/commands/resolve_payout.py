from __future__ import annotations

import getpass
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import Refusal
from payouts import services
from payouts.models import Payout
from payouts.states import PayoutStatus


class Command(BaseCommand):
    help = "Settle a payout that requires attention, once it is known whether its money moved."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("payout", type=uuid.UUID, help="the payout's id")
        parser.add_argument(
            "--to",
            required=True,
            choices=[PayoutStatus.PAID.value, PayoutStatus.FAILED.value],
            help="paid: the money moved; failed: it did not and will not",
        )
        parser.add_argument("--reason", required=True, help="the evidence; kept in the history for ever")

    def handle(self, *args: Any, **options: Any) -> None:
        del args
        payout = Payout.objects.filter(pk=options["payout"]).first()
        if payout is None:
            raise CommandError(f"There is no payout {options['payout']}.")
        try:
            services.resolve_payout(
                payout,
                target=PayoutStatus(options["to"]),
                actor=f"operator:{getpass.getuser()}",
                reason=options["reason"],
            )
        except Refusal as error:
            raise CommandError(error.message) from error
        self.stderr.write(f"The payout is {options['to']}.")
