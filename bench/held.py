"""What payouts that are held cost the others: a claim, a round of the sweeper and /metrics, with and without them.

    make bench-held [ARGS="--held 300000 --lanes 20 --explain"]

Two thirds of the held payouts are of one paused merchant, the others of merchants whose lanes are held by their own
circuits. A claim is one of 16 payouts, of a merchant that nothing holds. Each figure is the median of several runs, and
in brackets the best of them: what the others took longer is the machine's other work.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PAYOUTS_LOG_LEVEL", "WARNING")
django.setup()

from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rich.console import Console
from rich.table import Table

from accounts import services as accounts_services
from accounts.models import Merchant
from bench import databases
from payouts.engine import backlog, claims, pauses, sweep
from payouts.engine.lanes import Group
from payouts.states import AttemptKind

PLACES: Final = 16
CLAIMS: Final = 40
LOOKS: Final = 20
SENDS: Final = Group(AttemptKind.SEND, "sandbox", "test")

SEED: Final = """
INSERT INTO payouts_payout (
    id, merchant_id, mode, status, amount, currency, recipient_details, comment, reference, metadata, provider,
    provider_reference, failure_code, failure_message, attempts_count, version, due_at
)
SELECT gen_random_uuid(), (%(merchants)s::uuid[])[1 + number %% %(lanes)s], 'test', 'pending', 10, 'EUR',
    '{"name": "Jane Doe", "account": "sandbox_paid"}', '', '', '{}', 'sandbox', '', '', '', 0, 1,
    now() - number * interval '1 ms'
FROM generate_series(1, %(count)s) AS number
"""
HOLD: Final = """
INSERT INTO payouts_lanecircuit (provider, mode, merchant_id, failures_count, opened_at, retry_at)
SELECT 'sandbox', 'test', merchant_id, 5, now(), now() + interval '1 hour' FROM unnest(%s::uuid[]) AS merchant_id
"""


def seed(merchants: list[Merchant], count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(SEED, {"merchants": [one.pk for one in merchants], "lanes": len(merchants), "count": count})


def hold(count: int, *, lanes: int) -> None:
    """Make so many payouts that may not be sent."""
    paused = accounts_services.create_merchant("paused")
    failing = [accounts_services.create_merchant(f"failing {number}") for number in range(lanes)]
    seed([paused], count * 2 // 3)
    seed(failing, count - count * 2 // 3)
    pauses.pause(pauses.Scope(merchant=paused), actor="operator:bench", reason="held")
    with connection.cursor() as cursor:
        cursor.execute(HOLD, [[one.pk for one in failing]])


def milliseconds(action: Callable[[], object], *, times: int) -> str:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return f"{statistics.median(taken) * 1e3:.1f} ({min(taken) * 1e3:.1f})"


def claim() -> None:
    assert len(claims.claim_due(SENDS, places=PLACES).claims) == PLACES


def look() -> None:
    assert client.get("/metrics").status_code == 200


client = Client()


def measure(free: Merchant) -> dict[str, str]:
    """Measure with what is there. What was claimed stays under its leases."""
    seed([free], CLAIMS * (PLACES + 1))
    databases.execute("VACUUM ANALYZE payouts_payout")
    figures = {f"claim of {PLACES}": milliseconds(claim, times=CLAIMS)}
    figures["claim of 1"] = milliseconds(lambda: claims.claim_due(SENDS, places=1), times=CLAIMS)
    figures["claim that finds nothing free"] = milliseconds(lambda: claims.claim_due(SENDS, places=1), times=LOOKS)
    figures["round of the sweeper"] = milliseconds(sweep.sweep, times=LOOKS)
    figures["/metrics"] = milliseconds(look, times=LOOKS)
    return figures


def explain(action: Callable[[], object], *, of: str) -> None:
    """Print the plan of the statement of this action that has this text in it."""
    with CaptureQueriesContext(connection) as queries:
        action()
    statement = next(query["sql"] for query in queries if of in query["sql"])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {statement.replace('%', '%%')}", [])
        print("\n".join(line for (line,) in cursor.fetchall()), "\n")
        transaction.set_rollback(True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.held", description="What held payouts cost the others.")
    parser.add_argument("--held", type=int, default=300_000)
    parser.add_argument("--lanes", type=int, default=20, help="merchants that are held by their own circuits")
    parser.add_argument("--explain", action="store_true", help="print the plans of the claim and of the figures")
    options = parser.parse_args()
    settings.ALLOWED_HOSTS = ["testserver"]
    call_command("migrate", verbosity=0)
    free = accounts_services.create_merchant("free")
    without = measure(free)
    hold(options.held, lanes=options.lanes)
    with_held = measure(free)
    held = f"{options.held:,} held in {options.lanes + 1} lanes"
    table = Table("ms, median (best)", "nothing held", held, title=f"{os.cpu_count()} cores")
    for name, figure in with_held.items():
        table.add_row(name, without[name], figure)
    Console().print(table)
    print(backlog.backlog())
    if options.explain:
        seed([free], 2 * PLACES)
        explain(lambda: claims.claim_due(SENDS, places=PLACES), of="picked AS")
        explain(backlog.backlog, of="lane AS MATERIALIZED")


if __name__ == "__main__":
    main()
