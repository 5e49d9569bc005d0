from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from payouts import operators
from payouts.management import operating
from payouts.management.operating import PayoutCommand
from payouts.models import Payout


class Command(PayoutCommand):
    help = "Have the provider asked now what became of a payout, or of all that have no outcome. This moves no money."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("payout", nargs="?", type=operating.payout_id, help="the payout's id")
        parser.add_argument("--all", action="store_true", help="all payouts that are unknown or require attention")
        operating.add_reason(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if (options["payout"] is None) is not options["all"]:
            raise CommandError("Give the id of one payout, or --all.")
        if not options["all"]:
            super().handle(*args, **options)
            return
        with operating.refusals_as_command_errors():
            asked, refused = operators.ask_about_all(actor=operating.actor(), reason=options["reason"])
        self.stderr.write(
            f"Being asked about: {asked}. Not asked, because a worker asks at this moment or the provider is gone: "
            f"{refused}."
        )

    def act(self, payout: Payout, *, actor: str, reason: str, options: Mapping[str, Any]) -> str:
        del options
        operators.ask_about_payout(payout, actor=actor, reason=reason)
        return "The provider is being asked. Its answer will stand among the payout's attempts."
