from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from payouts import operators
from payouts.management.operating import PayoutCommand
from payouts.models import Payout


class Command(PayoutCommand):
    help = (
        "Have a payout that failed or requires attention sent again. The merchant of one that failed has been told so, "
        "and may have paid in another way since: ask it first."
    )

    def act(self, payout: Payout, *, actor: str, reason: str, options: Mapping[str, Any]) -> str:
        del options
        retried = operators.retry_payout(payout, actor=actor, reason=reason)
        return f"The payout is pending again, under the reference {retried.provider_key}."
