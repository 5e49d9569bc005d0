from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from payouts import operators
from payouts.management.operating import PayoutCommand
from payouts.models import Payout


class Command(PayoutCommand):
    help = "Take the mark off a payout whose status was contradicted, once you know what is true. The status stays."

    def act(self, payout: Payout, *, actor: str, reason: str, options: Mapping[str, Any]) -> str:
        del options
        acknowledged = operators.acknowledge_contradiction(payout, actor=actor, reason=reason)
        return (
            f"The contradiction is acknowledged. The payout is {acknowledged.get_status_display().lower()} as before."
        )
