from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from payouts import operators
from payouts.management.operating import PayoutCommand
from payouts.models import Payout


class Command(PayoutCommand):
    help = "Have the provider asked now what became of a payout. This moves no money."

    def act(self, payout: Payout, *, actor: str, reason: str, options: Mapping[str, Any]) -> str:
        del options
        operators.ask_about_payout(payout, actor=actor, reason=reason)
        return "The provider is being asked. Its answer will stand among the payout's attempts."
