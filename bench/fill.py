"""Fill the database with pending sandbox payouts, as fast as SQL can.

python -m bench.fill MERCHANT PAYOUTS
"""

from __future__ import annotations

import os
import sys
import uuid

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.db import connection

from accounts import services as accounts_services


def fill(merchant_id: uuid.UUID, payouts: int) -> None:
    """Insert so many payouts of the merchant, each with its first row of history."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH made AS (
                INSERT INTO payouts_payout (
                    id, merchant_id, mode, status, amount, currency, recipient_details, comment, reference, metadata,
                    provider, provider_reference, failure_code, failure_message, attempts_count, version
                )
                SELECT gen_random_uuid(), %s, 'test', 'pending', 10.5, 'EUR',
                    '{"name": "Jane Doe", "account": "sandbox_paid"}', '', '', '{}', 'sandbox', '', '', '', 0, 1
                FROM generate_series(1, %s) RETURNING id
            )
            INSERT INTO payouts_payouttransition (payout_id, from_status, to_status, actor, reason)
            SELECT id, '', 'pending', 'merchant:bench', 'created' FROM made
            """,
            [merchant_id, payouts],
        )


if __name__ == "__main__":
    fill(accounts_services.get_merchant(sys.argv[1]).pk, int(sys.argv[2]))
