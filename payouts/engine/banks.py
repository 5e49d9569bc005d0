"""Payouts that another bank may have executed. Only that bank can say so, and only there the reference pays once.

So nothing is sent to the present bank, and the present bank is not asked: its honest "not found" would prove nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db import models

from payouts.engine.evidence import Evidence
from payouts.models import Payout, PayoutAttempt
from payouts.providers import registry
from payouts.states import AttemptOutcome


def sent_elsewhere(payouts: Collection[Payout]) -> dict[uuid.UUID, str]:
    """Return the payouts of which a send with the present reference may have reached another bank, and that bank.

    One query, for any number of payouts. A send of a version that recorded no bank counts as one to the present bank.
    """
    here = {payout.pk: registry.get(payout.provider).identity for payout in payouts}
    sends = PayoutAttempt.objects.maybe_sent().filter(
        payout__in=list(here), reference_number=models.F("payout__reference_number")
    )
    named = sends.exclude(bank="").order_by("payout_id", "number").values_list("payout_id", "bank").distinct()
    return {payout_id: bank for payout_id, bank in named if bank != here[payout_id]}


def evidence_of_another(bank: str, *, here: str) -> Evidence:
    """Return the evidence to record instead of a call of the bank `here`, if another may have executed the payout."""
    return Evidence(
        AttemptOutcome.NOT_SENT,
        "other_bank",
        f"The payout may have been sent to the bank {bank}, which alone can say what became of it. "
        f"The bank now is {here}.",
        is_for_operator=True,
    )
