"""What a request and a payout cost, as ratios against baselines of the same run.

    make bench [ARGS="--seconds 3"]

Requests go through the whole Django stack in this process (no socket, no gunicorn), on the PostgreSQL and Redis of
the environment. `make bench` starts throw-away ones that do not wait for the disk, so the figures are the processor's
share of the cost; a real disk adds its flush to each COMMIT. Machines differ and so do minutes on one machine: only
ratios within one run are worth comparing.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

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
from payouts import services as payouts_services
from payouts.engine import processing

BODY: dict[str, Any] = {
    "amount": "10.50",
    "currency": "EUR",
    "recipient_details": {"name": "Jane Doe", "account": "sandbox_paid"},
}
LISTED = 2_000


def microseconds(action: Callable[[int], object], *, seconds: float) -> float:
    """Return the median time of one call, after a tenth of the calls as warm-up."""
    times: list[float] = []
    ends_at = time.perf_counter() + seconds
    while time.perf_counter() < ends_at:
        started = time.perf_counter()
        action(len(times))
        times.append(time.perf_counter() - started)
    return statistics.median(times[len(times) // 10 :]) * 1e6


def commit_one_row(_: int) -> None:
    """The least that a durable request can cost: one INSERT in a transaction of its own."""
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO bench_baseline (body) VALUES ('one row')")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each measurement (default 2)")
    seconds = parser.parse_args().seconds
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SECURE_SSL_REDIRECT = False
    settings.THROTTLE_REQUESTS_PER_MINUTE = 0
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS bench_baseline (id bigserial PRIMARY KEY, body text)")
    api_key, secret = accounts_services.issue_api_key(accounts_services.create_merchant("bench"), name="bench")
    client = Client(headers={"authorization": f"Api-Key {secret}"})

    def post(headers: dict[str, str]) -> Any:
        response = client.post("/api/payouts/", BODY, content_type="application/json", headers=headers)
        assert response.status_code == 201, response.content
        return response

    fields = {**BODY, "amount": Decimal("10.50")}
    due = [payouts_services.create_payout(api_key=api_key, idempotency_key=None, **fields).id for _ in range(LISTED)]
    path = post({"Idempotency-Key": "replayed"}).headers["Location"]
    measured = {
        "baseline: GET /livez": lambda _: client.get("/livez"),
        "baseline: INSERT, COMMIT": commit_one_row,
        "POST with a new key": lambda number: post({"Idempotency-Key": f"key-{number}"}),
        "POST without a key": lambda _: post({}),
        "POST replayed": lambda _: post({"Idempotency-Key": "replayed"}),
        "GET one payout": lambda _: client.get(path),
        "GET a page of 50": lambda _: client.get("/api/payouts/"),
        "GET a filtered page": lambda _: client.get("/api/payouts/?status=pending&currency=EUR&amount_min=1"),
        "process one payout": lambda number: processing.process(due[number % LISTED]),
    }
    _print({name: microseconds(action, seconds=seconds) for name, action in measured.items()})


def _print(figures: dict[str, float]) -> None:
    request, commit = list(figures.values())[:2]
    table = Table(
        "what", "median us", "x GET /livez", "x INSERT, COMMIT", title=f"{platform.machine()}, {os.cpu_count()} cores"
    )
    for name, figure in figures.items():
        table.add_row(name, f"{figure:,.0f}", f"{figure / request:.1f}", f"{figure / commit:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
