"""Fill an empty database with payouts as a year of business leaves them behind, by COPY.

    python -m bench.seed [--payouts 5000000] [--merchants 1000] [--largest-share 0.2]

Statuses, currencies, amounts and texts are distributed as one would expect; the largest merchant has a fifth of all.
The same seed gives the same payouts but for their times, which end now. Two processes write blocks of time in turn, so
that the table is about in the order in which it would have grown. Triggers are off meanwhile and indexes are made at
the end, so it refuses a database that has payouts already.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PAYOUTS_LOG_LEVEL", "WARNING")
django.setup()

from django.core.management import call_command
from django.db import connection

from accounts.models import Merchant
from payouts import states
from payouts.models import Payout

SEED = 20260101
PERIOD = timedelta(days=365)
BLOCKS = 200
TABLE = "payouts_payout"
COLUMNS = (
    "id", "merchant_id", "mode", "status", "amount", "currency", "recipient_details", "comment", "reference",
    "metadata", "idempotency_key", "provider", "provider_reference", "failure_code", "failure_message",
    "attempts_count", "due_at", "version", "created_at", "updated_at", "first_sent_at", "completed_at",
)  # fmt: skip

# What becomes of a payout, in thousandths; one of the last hour may still be on its way.
STATUSES = {
    "paid": 9160, "failed": 500, "canceled": 150, "returned": 100, "submitted": 60, "pending": 18, "unknown": 6,
    "processing": 4, "requires_attention": 2,
}  # fmt: skip
CURRENCIES = {"EUR": 70, "USD": 15, "GBP": 8, "PLN": 3, "SEK": 2, "JPY": 2}
FIRST_NAMES = (
    "Jane", "John", "Amelia", "Noah", "Olga", "Piotr", "Zoë", "Jürgen", "Aoife", "Mehmet", "Ingrid", "Luca", "Chloé",
    "Søren", "Ana", "Wei", "Fatima",
)  # fmt: skip
LAST_NAMES = (
    "Doe", "Miller", "Novak", "Ünal", "García", "Rossi", "Dubois", "Jensen", "Kowalska", "Smith", "Okafor", "Tanaka",
    "Silva", "Meyer", "Berg",
)  # fmt: skip
COMMENTS = (
    "Refund of order {n}", "Weekly settlement {w}", "Commission for {w}", "Salary advance", "Expense report {n}",
    "Prize of campaign {w}", "", "", "Return of deposit, contract {n}", "Seller payout {w}",
)  # fmt: skip
DEPARTMENTS = ("returns", "marketing", "finance", "people", "marketplace")


@dataclass(frozen=True)
class Plan:
    """What one process needs to know."""

    merchants: list[UUID]
    largest_share: float
    payouts: int
    ends_at: datetime

    def rows_of(self, block: int) -> int:
        return self.payouts * (block + 1) // BLOCKS - self.payouts * block // BLOCKS


def copy_blocks(plan: Plan, first: int) -> None:
    """Copy every second block of time, beginning with this one."""
    connection.close()
    with connection.cursor() as cursor:
        for block in range(first, BLOCKS, 2):
            with cursor.copy(f"COPY {TABLE} ({', '.join(COLUMNS)}) FROM STDIN") as copy:
                for text in _texts(plan, block):
                    copy.write(text)


def _texts(plan: Plan, block: int, size: int = 2_000) -> Iterator[str]:
    chance = random.Random(SEED + block)
    step = PERIOD / BLOCKS
    starts_at = plan.ends_at - PERIOD + step * block
    count = plan.rows_of(block)
    # Few merchants have many payouts, and many have few.
    weights = [1 / (rank + 10) for rank in range(len(plan.merchants) - 1)]
    share = plan.largest_share if weights else 1.0
    weights = [share * sum(weights) / (1 - share), *weights] if weights else [1.0]
    for begin in range(0, count, size):
        end = min(begin + size, count)
        merchants = chance.choices(plan.merchants, weights, k=end - begin)
        statuses = chance.choices(list(STATUSES), list(STATUSES.values()), k=end - begin)
        currencies = chance.choices(list(CURRENCIES), list(CURRENCIES.values()), k=end - begin)
        yield "".join(
            _line(chance, block * 100_000 + number, starts_at + step * (number / count), merchant, status, currency)
            for number, merchant, status, currency in zip(
                range(begin, end), merchants, statuses, currencies, strict=True
            )
        )


def _line(chance: random.Random, number: int, created_at: datetime, merchant: UUID, status: str, currency: str) -> str:
    milliseconds = int(created_at.timestamp() * 1000)
    bits = chance.getrandbits(74)
    tail = f"{bits:019x}"
    identifier = f"{milliseconds:012x}7{tail[:3]}{'89ab'[bits & 3]}{tail[3:18]}"
    cents = int(chance.lognormvariate(8.5, 1.4)) + 1
    amount = str(cents) if currency == "JPY" else f"{cents // 100}.{cents % 100:02d}"
    name = f"{FIRST_NAMES[bits % len(FIRST_NAMES)]} {LAST_NAMES[bits // 32 % len(LAST_NAMES)]}"
    recipient = f'{{"name": "{name}", "account": "DE{bits % 10**20:020d}"}}'
    comment = COMMENTS[bits // 64 % len(COMMENTS)].format(n=bits % 10**7, w=created_at.strftime("%G-W%V"))
    reference = f"order-{number:09d}" if bits % 10 else ""
    metadata = json.dumps({"department": DEPARTMENTS[bits % 5], "batch": f"b-{number // 500}"}) if bits % 2 else "{}"
    key = identifier[8:] if bits % 10 < 7 else r"\N"
    failure = ("account_closed", "The account is closed.") if status == "failed" else ("", "")
    # A payment that comes back does so days later.
    delay = timedelta(days=bits % 14) if status == "returned" else timedelta(milliseconds=bits % 60_000)
    created, updated = created_at.isoformat(), min(created_at + delay, datetime.now(UTC)).isoformat()
    completed = updated if status in states.OVER else r"\N"
    return "\t".join(
        (
            identifier, str(merchant), "live", status, amount, currency, recipient, comment, reference, metadata, key,
            "http_bank", f"tr-{identifier[-12:]}", *failure, "1", r"\N", "3", created, updated, created, completed,
        )
    ) + "\n"  # fmt: skip


def seed(*, payouts: int, merchants: int, largest_share: float = 0.2) -> Merchant:
    """Fill the default database, and return the largest merchant."""
    call_command("migrate", verbosity=0)
    if Payout.objects.exists():
        raise SystemExit("This database has payouts already: seed an empty one.")
    made = Merchant.objects.bulk_create([Merchant(name=f"merchant {number:04d}") for number in range(merchants)])
    plan = Plan([merchant.pk for merchant in made], largest_share, payouts, datetime.now(UTC))
    indexes = _secondary_indexes()
    _execute(f"ALTER TABLE {TABLE} DISABLE TRIGGER USER", *(f"DROP INDEX {name}" for name in indexes))
    connection.close()
    processes = [multiprocessing.Process(target=copy_blocks, args=(plan, first)) for first in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit("A process that copies has failed: see above.")
    _execute("SET maintenance_work_mem = '1GB'", *indexes.values(), f"ALTER TABLE {TABLE} ENABLE TRIGGER USER")
    _execute(f"VACUUM (ANALYZE) {TABLE}")
    return made[0]


def close_days() -> None:
    """Fill the roll-up, as the sweeper does a day at a time."""
    call_command("rebuild_rollup", stdout=io.StringIO(), stderr=io.StringIO())
    _execute("VACUUM (ANALYZE) payouts_rollupcell")


def _secondary_indexes() -> dict[str, str]:
    """Return the definitions of all indexes but that of the primary key, to which foreign keys hold."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index "
            "WHERE indrelid = %s::regclass AND NOT indisprimary",
            [TABLE],
        )
        return dict(cursor.fetchall())


def _execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.seed", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--payouts", type=int, default=5_000_000)
    parser.add_argument("--merchants", type=int, default=1_000)
    parser.add_argument("--largest-share", type=float, default=0.2, help="of all payouts, the largest merchant's part")
    options = parser.parse_args()
    started = time.perf_counter()
    largest = seed(payouts=options.payouts, merchants=options.merchants, largest_share=options.largest_share)
    print(f"{options.payouts:,} payouts in {time.perf_counter() - started:.0f} s; the largest merchant is {largest.pk}")


if __name__ == "__main__":
    main()
