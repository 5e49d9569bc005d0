"""What the purge of old answers costs on a large table, as ratios against a small one in the same run.

    make bench-purge [ARGS="--records 10000000"]

Half of the records are older than 30 days. Measured is one batch of the purge, and a POST with a new key while nothing
else happens and while the purge runs. The sequential scans that PostgreSQL counted meanwhile are printed: there must
be none. Ten million records take about 15 GB of disk and some minutes to make.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PAYOUTS_LOG_LEVEL", "WARNING")
django.setup()

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from rich.console import Console
from rich.table import Table

from accounts import services as accounts_services
from accounts.models import Merchant
from idempotency import retention

BODY = {"amount": "10.50", "currency": "EUR", "recipient_details": {"name": "Jane Doe", "account": "sandbox_paid"}}
# More than the purge erases meanwhile, at what it manages on a fast machine.
RECORDS_MIN = 200_000
BATCHES = 20
POSTS = 400
OLDER_THAN = timedelta(days=30)
TABLE = "idempotency_idempotencyrecord"

# Sixty days of answers of the usual size, oldest first, as a table that grew looks.
SEED = """
INSERT INTO idempotency_idempotencyrecord (
    merchant_id, mode, key, fingerprint, method, path, resource_type, resource_id, response_status, response_body,
    response_headers, created_at
)
SELECT %s, 'test', gen_random_uuid(), 'v1:' || encode(sha256(number::text::bytea), 'hex'), 'POST', '/api/payouts/',
       'payout', gen_random_uuid(), 201, convert_to(repeat('x', 450), 'UTF8'),
       '{"ETag": "\\"1\\"", "Location": "/api/payouts/01936f3e-7c4a-7d2b-9e1f-3a5b6c7d8e9f/"}',
       now() - interval '60 days' * (1 - number::float / %s)
FROM generate_series(1, %s) AS number
"""


def seed(merchant: Merchant, records: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SEED, [merchant.pk, records, records])
        cursor.execute(f"VACUUM ANALYZE {TABLE}")


def milliseconds(action: Callable[[], object], *, times: int) -> list[float]:
    """Return what each call took."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def purge_batch() -> None:
    batch = retention.purge_batch(OLDER_THAN, None)
    assert len(batch) == retention.LIMITS.batch, "The records do not last for the measurement."


def sequential_scans() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush(), pg_stat_clear_snapshot()")
        cursor.execute("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = %s", [TABLE])
        return int(cursor.fetchone()[0])


def while_purging(action: Callable[[], list[float]]) -> list[float]:
    """Run the action while another connection purges without a pause, which the sweeper would make."""
    stop = threading.Event()

    def purge() -> None:
        while not stop.is_set():
            purge_batch()
        connection.close()

    thread = threading.Thread(target=purge)
    thread.start()
    try:
        return action()
    finally:
        stop.set()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.purge", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--records", type=int, default=1_000_000, help="size of the large table (default a million)")
    records = parser.parse_args().records
    if records < RECORDS_MIN:
        parser.error(f"--records must be {RECORDS_MIN} or more, or the old ones do not last for the measurement.")
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SECURE_SSL_REDIRECT = False
    settings.THROTTLE_REQUESTS_PER_MINUTE = 0
    call_command("migrate", verbosity=0)
    merchant = accounts_services.create_merchant("bench")
    client = Client(headers={"authorization": f"Api-Key {accounts_services.issue_api_key(merchant, name='bench')[1]}"})
    numbers = iter(range(1_000_000))

    def post() -> None:
        headers = {"Idempotency-Key": f"key-{next(numbers)}"}
        assert client.post("/api/payouts/", BODY, content_type="application/json", headers=headers).status_code == 201

    seed(merchant, 2 * BATCHES * retention.LIMITS.batch)
    small = milliseconds(purge_batch, times=BATCHES)
    seed(merchant, records)
    scans = sequential_scans()
    large = milliseconds(purge_batch, times=BATCHES)
    milliseconds(post, times=POSTS // 10)  # what the first ones import and connect
    alone = milliseconds(post, times=POSTS)
    beside = while_purging(lambda: milliseconds(post, times=POSTS))
    _print(records, {"a batch, small table": small, "a batch, large table": large}, "a batch, small table")
    _print(records, {"POST, new key": alone, "POST, new key, beside the purge": beside}, "POST, new key")
    scans = sequential_scans() - scans
    Console().print(f"Sequential scans of {TABLE} meanwhile: {scans}")
    if scans:
        raise SystemExit(1)


def _print(records: int, figures: dict[str, list[float]], baseline: str) -> None:
    table = Table("what", "median ms", "longest ms", "x median", title=f"{records:,} records, {os.cpu_count()} cores")
    for name, taken in figures.items():
        median = statistics.median(taken)
        ratio = median / statistics.median(figures[baseline])
        table.add_row(name, f"{median:.1f}", f"{max(taken):.1f}", f"{ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
