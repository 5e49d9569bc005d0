"""Export all payouts of the largest merchant once, and print what it took as JSON. bench/reports.py calls it.

In a process of its own, for the memory that a process once had it keeps.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PAYOUTS_LOG_LEVEL", "WARNING")
django.setup()

from django.conf import settings
from django.db import connection
from django.test import Client

from accounts import services as accounts_services
from accounts.models import Merchant
from payouts.models import Payout

COPY = """
COPY (
    SELECT id, status, mode, amount, currency, recipient_details, comment, reference, metadata, idempotency_key,
           failure_code, failure_message, created_at, updated_at, provider, provider_reference, completed_at,
           expires_at
    FROM payouts_payout WHERE merchant_id = '{merchant}' AND mode = 'live' AND deleted_at IS NULL
    ORDER BY created_at DESC, id DESC
) TO STDOUT WITH (FORMAT csv)
"""


def export_seconds(client: Client, form: str) -> float:
    started = time.perf_counter()
    response = client.get(f"/api/payouts/export/?format={form}")
    assert response.status_code == 200, response.content
    for _ in response.streaming_content:  # type: ignore[attr-defined] # The client says nothing of it.
        pass
    return time.perf_counter() - started


def copy(merchant: Merchant) -> tuple[int, float]:
    """Return how many rows there are, and the seconds in which PostgreSQL hands them over."""
    started = time.perf_counter()
    with connection.cursor() as cursor, cursor.copy(COPY.format(merchant=merchant.pk)) as rows:
        for _ in rows:
            pass
    seconds = time.perf_counter() - started
    payouts = Payout.objects.of_merchant(merchant.pk, "live")
    return payouts.count(), seconds


def main(form: str) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SECURE_SSL_REDIRECT = False
    merchant = Merchant.objects.order_by("name").first()
    assert merchant is not None
    secret = accounts_services.issue_api_key(merchant, name="export", mode="live")[1]
    copy(merchant)  # so that neither of the two finds a colder cache
    seconds = export_seconds(Client(headers={"authorization": f"Api-Key {secret}"}), form)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows, copy_seconds = copy(merchant)
    print(
        json.dumps(
            {
                "rows": rows,
                "rows_a_second": rows / seconds,
                "peak_mb": peak_mb,
                "copy_rows_a_second": rows / copy_seconds,
                "ratio_to_copy": seconds / copy_seconds,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
