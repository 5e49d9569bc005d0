from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from payouts import operators
from payouts.management.operating import PayoutCommand
from payouts.models import Payout
from payouts.states import PayoutStatus


class Command(PayoutCommand):
    help = "Settle a payout that requires attention, once it is known whether its money moved."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--to",
            required=True,
            choices=[PayoutStatus.PAID.value, PayoutStatus.FAILED.value],
            help="paid: the money moved; failed: it did not and will not",
        )

    def act(self, payout: Payout, *, actor: str, reason: str, options: Mapping[str, Any]) -> str:
        target = PayoutStatus(options["to"])
        operators.resolve_payout(payout, target=target, actor=actor, reason=reason)
        return f"The payout is {target.value}."
