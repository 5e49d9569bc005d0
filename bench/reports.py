"""What lists, sums and exports cost on millions of payouts, as ratios against a small database in the same run.

    make bench-reports [ARGS="--payouts 10000000 --results bench/results/reports.md"]

The large database is made by bench/seed.py; the largest of its merchants has a fifth of all payouts. The small one has
10,100 payouts of one merchant: ten thousand, and as many as page 1000 needs. Requests go through the whole Django stack
in this process and alternate between the two. The disk is not waited for. The plan of each statement is written beside
the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PAYOUTS_LOG_LEVEL", "WARNING")
django.setup()

from django.conf import settings
from django.test import Client

from accounts import services as accounts_services
from accounts.models import Merchant
from bench import databases, plain, seed
from payouts.models import indexes

SMALL = 10_100
ROUNDS = 10
TABLES = "payouts_"


@dataclass
class Subject:
    """One database, and what was measured in it."""

    name: str
    payouts: int
    client: Client = field(init=False)
    urls: dict[str, str] = field(default_factory=dict)
    #: Seconds of each request, and of the processor, by the name of what was asked for.
    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu_seconds: dict[str, list[float]] = field(default_factory=dict)
    #: Milliseconds in the database, and the plans.
    database_ms: dict[str, float] = field(default_factory=dict)
    plans: dict[str, list[str]] = field(default_factory=dict)

    def prepare(self, merchant: Merchant) -> None:
        secret = accounts_services.issue_api_key(merchant, name="bench", mode="live")[1]
        self.client = Client(headers={"authorization": f"Api-Key {secret}"})
        # The newest payout of each is pending, so that both pay for telling what it waits for.
        post(self.client)
        self.urls = urls_of(self.client, merchant)

    def measure(self, times: int) -> None:
        databases.use(self.name)
        self.client.get("/api/payouts/?page_size=1")
        for name, url in self.urls.items():
            repeated = times if name not in SLOW else 1
            for _ in range(repeated):
                with databases.taking() as taken:
                    response = self.client.get(url)
                assert response.status_code == 200, (url, response.content)
                self.seconds.setdefault(name, []).append(taken[0])
                self.cpu_seconds.setdefault(name, []).append(taken[1])

    def explain(self) -> None:
        databases.use(self.name)
        for name, url in self.urls.items():
            statements = databases.statements_of(partial(self.client.get, url), of=TABLES)
            plans = [databases.explain(statement) for statement in statements]
            self.database_ms[name] = sum(milliseconds for milliseconds, _ in plans)
            self.plans[name] = [
                f"{statement}\n\n{plan}" for statement, (_, plan) in zip(statements, plans, strict=True)
            ]


BODY = {
    "amount": "10.50",
    "currency": "EUR",
    "recipient_details": {"name": "Jane Doe", "account": "DE89370400440532013000"},
    "comment": "Refund of order 4711",
    "reference": "order-4711",
    "metadata": {"department": "returns", "batch": "b-1"},
}
INDEX_BEFORE = (
    "CREATE INDEX payout_list ON payouts_payout (merchant_id, mode, created_at DESC, id DESC) WHERE deleted_at IS NULL"
)

# Asked for once a round.
SLOW = ("a plain ModelViewSet, 50 rows", "with its total", "search, rare", "sums, 30 days, New York")


def urls_of(client: Client, merchant: Merchant) -> dict[str, str]:
    """Return what is asked for. The small database has 365 days as well."""
    now = datetime.now(UTC)
    month = (now - timedelta(days=30)).replace(hour=0, minute=0, second=0, microsecond=0)
    since = {"created_after": month.isoformat()}
    lists: dict[str, dict[str, Any]] = {
        "a page of 50": {},
        "page 1 of 10": {"page_size": 10},
        "a page by amount": {"ordering": "-amount"},
        "four filters": {"status": "paid", "currency": "EUR", "amount_min": "10", **since},
        "one rare status": {"status": "failed"},
        "search, rare": {"search": "order-000004711"},
        "search, common": {"search": "refund"},
        "with its total": {"include": "total"},
    }
    sums: dict[str, dict[str, Any]] = {
        "sums, 30 days": since,
        "sums, 30 days, by day": {"group_by": "day,status", **since},
        "sums, all time": {},
        "sums, 30 days, New York": {"group_by": "day", "timezone": "America/New_York", **since},
    }
    return {
        "a plain ModelViewSet, 50 rows": f"{plain.URL}{merchant.pk}/",
        **{name: f"/api/payouts/?{urlencode(parameters)}" for name, parameters in lists.items()},
        "page 1000 of 10": _page(client, "/api/payouts/?page_size=10", 1000),
        # There are so many in the large database alone; the small one shows its last.
        "page 1000 of 50": _page(client, "/api/payouts/", 1000),
        **{name: f"/api/payouts/summary/?{urlencode(parameters)}" for name, parameters in sums.items()},
    }


def _page(client: Client, url: str, number: int) -> str:
    for _ in range(number - 1):
        url = client.get(url).json()["next"] or url
    return url


def post(client: Client) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    response = client.post("/api/payouts/", BODY, content_type="application/json", headers=headers)
    assert response.status_code == 201, response.content


def cost_of_indexes(subject: Subject) -> float:
    """Return how many times as long a POST takes with the indexes of the lists as with the one of before."""
    bare = f"{subject.name}_bare"
    databases.create(bare, template=subject.name)
    databases.use(bare)
    databases.execute(
        *(f"DROP INDEX {index.name}" for index in indexes.OF_LISTS), INDEX_BEFORE, "VACUUM payouts_payout"
    )
    seconds: dict[str, list[float]] = {subject.name: [], bare: []}
    for _ in range(ROUNDS):
        for name, taken in seconds.items():
            databases.use(name)
            post(subject.client)
            for _ in range(80):
                with databases.taking() as this:
                    post(subject.client)
                taken.append(this[0])
    return statistics.median(seconds[subject.name]) / statistics.median(seconds[bare])


def make(payouts: int) -> tuple[Subject, Subject, float]:
    """Make both databases, and return them with the seconds that the seed of the large one took."""
    small, large = Subject("bench_small", SMALL), Subject("bench_large", payouts)
    taken = 0.0
    for subject, merchants in ((small, 1), (large, 1000)):
        databases.create(subject.name)
        databases.use(subject.name)
        started = time.perf_counter()
        merchant = seed.seed(payouts=subject.payouts, merchants=merchants)
        taken = time.perf_counter() - started
        seed.close_days()
        plain.install(merchant.pk)
        subject.prepare(merchant)
    return small, large, taken


def export(database: str, form: str) -> dict[str, Any]:
    """Export all payouts of the largest merchant in a process of its own, and return its figures."""
    result = subprocess.run(
        [sys.executable, "-m", "bench.export", form],
        env={**os.environ, "POSTGRES_DB": database},
        check=True,
        capture_output=True,
        text=True,
    )
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.reports", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--payouts", type=int, default=5_000_000, help="in the large database (default 5 million)")
    parser.add_argument("--results", type=Path, help="a file for the figures and the plans")
    options = parser.parse_args()
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SECURE_SSL_REDIRECT = False
    settings.THROTTLE_REQUESTS_PER_MINUTE = 0
    settings.LIVE_PROVIDER = "http_bank"
    small, large, seeding_seconds = make(options.payouts)
    for _ in range(ROUNDS):
        for subject in (small, large):
            subject.measure(times=20)
    for subject in (small, large):
        subject.explain()
    exports = {form: export(large.name, form) for form in ("csv", "ndjson")}
    posts = cost_of_indexes(large)
    report = "\n".join(_lines(small, large, exports, seeding_seconds))
    report += f"\n\nA POST with the indexes of the lists takes {posts:.3f} times as long as with the one before."
    print(report)
    if options.results:
        options.results.parent.mkdir(exist_ok=True)
        options.results.write_text(f"{report}\n\n{_plans(large)}\n", encoding="utf-8")


def _lines(small: Subject, large: Subject, exports: dict[str, Any], seeding_seconds: float) -> list[str]:
    def median(values: list[float]) -> float:
        return statistics.median(values) * 1e3

    plain_cpu = median(large.cpu_seconds["a plain ModelViewSet, 50 rows"])
    lines = [
        "# Lists, sums and exports",
        "",
        (
            f"`make bench-reports`: {large.payouts:,} payouts of 1,000 merchants against {small.payouts:,} of one; "
            f"{platform.machine()}, {os.cpu_count()} cores, PostgreSQL {databases.scalar('SHOW server_version')}. "
            f"Seeding the large one took {seeding_seconds:.0f} s. Medians."
        ),
        "",
        "| what | small, ms | large, ms | large / small | its CPU, ms | CPU / plain | database, ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in large.urls:
        one, other, cpu = median(small.seconds[name]), median(large.seconds[name]), median(large.cpu_seconds[name])
        lines.append(
            f"| {name} | {one:.2f} | {other:.2f} | {other / one:.2f} | {cpu:.2f} | {cpu / plain_cpu:.2f} "
            f"| {large.database_ms[name]:.2f} |"
        )
    lines += [
        "",
        (
            "The small one has no page 1000 of 50: that is its last page, of few rows. The plain ModelViewSet asks for "
            "no API key."
        ),
    ]
    for rows, first in ((50, "a page of 50"), (10, "page 1 of 10")):
        deep = median(large.seconds[f"page 1000 of {rows}"]) / median(large.seconds[first])
        lines += ["", f"Page 1000 over page 1 of {rows} payouts each, both of the large one: {deep:.2f}."]
    lines.append("")
    for form, figures in exports.items():
        lines.append(
            f"Export of {figures['rows']:,} rows as {form}: {figures['rows_a_second']:,.0f} rows a second, "
            f"{figures['peak_mb']:.0f} MB at most in the whole process. PostgreSQL's own COPY of the same rows: "
            f"{figures['copy_rows_a_second']:,.0f} rows a second, {figures['ratio_to_copy']:.2f} times as many."
        )
    return lines


def _plans(subject: Subject) -> str:
    sections = ["# Plans"]
    for name, plans in subject.plans.items():
        sections += [f"## {name}", *(f"```\n{plan}\n```" for plan in plans)]
    return "\n\n".join(sections)


if __name__ == "__main__":
    main()
