"""The schema of payouts at another version, and payouts as version 0.1 wrote them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.db import connection

from accounts.models import Merchant
from payouts import migrations
from payouts.states import PayoutStatus
from tests.support import database

LATEST = max(path.name[:4] for path in Path(migrations.__file__).parent.glob("[0-9]*.py"))

INSERT = """
INSERT INTO payouts_payout (id, merchant_id, mode, status, amount, currency, recipient_details, comment, reference,
    metadata, provider, provider_reference, failure_code, failure_message, attempts_count, version)
VALUES (%s, %s, 'test', 'pending', 10.50, 'EUR', %s, '', 'order-7', '{}', 'sandbox', '', '', '', 0, 1)
"""
ATTEMPT = """
INSERT INTO payouts_payoutattempt (payout_id, number, kind, outcome, code, message)
VALUES (%s, %s, %s, %s, '', '')
"""
TRANSITION = """
INSERT INTO payouts_payouttransition (payout_id, from_status, to_status, actor, reason)
VALUES (%s, %s, %s, 'worker', 'as version 0.1 wrote it')
"""


def migrate(to: str) -> None:
    call_command("migrate", "payouts", to, verbosity=0)


def rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def insert_payout(merchant: Merchant, status: PayoutStatus) -> uuid.UUID:
    """Write one as version 0.1 did, and take it to the status by the changes that it allowed."""
    payout_id = uuid.uuid4()
    recipient = {"name": "Jane Doe", "account": "sandbox_paid"}
    database.execute(INSERT, [payout_id, merchant.pk, json.dumps(recipient)])
    before = ""
    for number, step in enumerate(["pending", *database.PATHS[status]]):
        database.execute(TRANSITION, [payout_id, before, step])
        if number:
            database.execute(
                "UPDATE payouts_payout SET status = %s, version = version + 1 WHERE id = %s", [step, payout_id]
            )
        before = step
    if status not in {PayoutStatus.PENDING, PayoutStatus.CANCELED}:
        outcome = {PayoutStatus.PAID: "paid", PayoutStatus.FAILED: "rejected", PayoutStatus.SUBMITTED: "accepted"}
        database.execute(ATTEMPT, [payout_id, 1, "send", outcome.get(status, "")])
        database.execute(
            "UPDATE payouts_payout SET attempts_count = 1, first_sent_at = now() WHERE id = %s", [payout_id]
        )
    if status == PayoutStatus.PROCESSING:
        # Its worker died in the upgrade.
        database.execute(
            "UPDATE payouts_payout SET lease_token = gen_random_uuid(), lease_expires_at = now() - interval '1 s', "
            "due_at = now() - interval '1 s' WHERE id = %s",
            [payout_id],
        )
    elif status in {PayoutStatus.CANCELED, PayoutStatus.FAILED, PayoutStatus.RETURNED}:
        database.execute("UPDATE payouts_payout SET due_at = NULL WHERE id = %s", [payout_id])
    return payout_id
