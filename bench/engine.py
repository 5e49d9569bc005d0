"""Payouts a second, and what each costs, beside the worker that people write themselves.

    make bench-engine [ARGS="--payouts 5000"]

A backlog of sandbox payouts is drained by two processes of a Celery worker, ours and the plain one in turn, as whole
processes on the PostgreSQL and Redis of the environment. Processor time is that of the workers, PostgreSQL and Redis.
Only ratios within one run are worth comparing.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("PAYOUTS_LOG_LEVEL", "WARNING")
django.setup()

from django.core.management import call_command
from django.db import connection
from rich.console import Console
from rich.table import Table

from accounts import services as accounts_services
from bench import fill, plain_worker, processes
from config.celery import app
from payouts import dispatch

_POLL_SECONDS = 0.05
_TIMEOUT_SECONDS = 600.0
_WORKER = ("worker", "--concurrency", "2", "--loglevel", "WARNING", "--without-gossip", "--without-mingle")


@dataclass(frozen=True)
class Drained:
    payouts: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.payouts / self.seconds

    @property
    def cpu_milliseconds(self) -> float:
        return 1000 * self.cpu_seconds / self.payouts


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine")
    parser.add_argument("--payouts", type=int, default=5_000, help="of each backlog (default 5000)")
    parser.add_argument("--rounds", type=int, default=3, help="of both in turn; the medians count (default 3)")
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    connection.cursor().execute(plain_worker.TABLE)
    merchant = accounts_services.create_merchant(f"bench {uuid.uuid4()}")
    plain, ours = [], []
    for _ in range(options.rounds):
        plain.append(drain_plain(options.payouts))
        ours.append(drain_ours(merchant.pk, options.payouts))
    _print(plain, ours)


def drain_plain(payouts: int) -> Drained:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bench_plain (id, amount, account, status)"
            " SELECT gen_random_uuid(), 10.5, 'sandbox_paid', 'pending' FROM generate_series(1, %s) RETURNING id",
            [payouts],
        )
        ids = [str(payout_id) for (payout_id,) in cursor.fetchall()]
    for payout_id in ids:
        plain_worker.process.delay(payout_id)
    return _drain("bench.plain_worker", "plain", payouts, "SELECT count(*) FROM bench_plain WHERE status = 'pending'")


def drain_ours(merchant_id: uuid.UUID, payouts: int) -> Drained:
    fill.fill(merchant_id, payouts)
    # By the application itself: the plain one was made later, and is the current one of Celery.
    for _ in range(2):
        app.send_task(dispatch.PROCESS_PAYOUTS, args=([],), ignore_result=True)
    return _drain("config", "payouts", payouts, "SELECT count(*) FROM payouts_payout WHERE status <> 'paid'")


def _drain(module: str, queue: str, payouts: int, left: str) -> Drained:
    """Let a worker process the backlog. The time begins when its first payout is taken: starting is not measured."""
    worker = subprocess.Popen([sys.executable, "-m", "celery", "--app", module, *_WORKER, "--queues", queue])
    try:
        _wait(left, lambda waiting: waiting < payouts)
        began, cpu = time.monotonic(), processes.cpu_of_services()
        waiting = _count(left)
        _wait(left, lambda waiting: waiting == 0)
        return Drained(waiting, time.monotonic() - began, processes.cpu_of_services() - cpu)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()


def _wait(left: str, is_reached: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while not is_reached(_count(left)):
        if time.monotonic() > deadline:
            raise SystemExit("The backlog is not drained.")
        time.sleep(_POLL_SECONDS)


def _count(left: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(left)
        return int(cursor.fetchone()[0])


def _print(plain: list[Drained], ours: list[Drained]) -> None:
    table = Table("worker", "payouts/s", "x plain", "CPU of a payout, ms", "x plain", title="A backlog, two processes")
    rate = statistics.median(one.rate for one in plain)
    cost = statistics.median(one.cpu_milliseconds for one in plain)
    for name, drained in (("plain: one task, two updates", plain), ("ours", ours)):
        one_rate = statistics.median(one.rate for one in drained)
        one_cost = statistics.median(one.cpu_milliseconds for one in drained)
        table.add_row(name, f"{one_rate:,.0f}", f"{one_rate / rate:.2f}", f"{one_cost:.2f}", f"{one_cost / cost:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
