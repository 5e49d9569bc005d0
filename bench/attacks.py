"""What one client can do to the others: a bystander's POST beside each attack, as a ratio to itself without it.

    make bench-attacks [ARGS="--seconds 10 --only downloads,logins"]

A web server as deploy configures it (two processes of four threads), without a proxy, on PostgreSQL and Redis of the
environment. The attack runs in a process of its own. Before each attack the bystander is measured alone, so that the
ratio is of one minute of one machine. The clients of an attack take processors as well; where there are two for all,
that is a part of the figures.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import django

os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "DJANGO_ALLOWED_HOSTS": "127.0.0.1"}
os.environ |= {"PAYOUTS_THROTTLE_REQUESTS_PER_MINUTE": "0", "PAYOUTS_BEHIND_HTTPS": "false"}
os.environ |= {"PAYOUTS_LOG_LEVEL": "ERROR", "PAYOUTS_STATIC_FROM_SOURCE": "true"}
django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from accounts import services
from payouts.exports import jobs
from payouts.models import Export

ROOT = Path(__file__).resolve().parents[1]
BODY = json.dumps({"amount": "10.50", "currency": "EUR", "recipient_details": {"name": "J", "account": "sandbox_paid"}})
SUMMARY = "/api/payouts/summary/?group_by=day,status,currency,provider"
PAYOUTS = 30_000
#: With five currencies and four providers the attacker's summary has 9,600 rows.
DAYS = 480
#: A client of a download, in bytes a second. So much is sent before the kernel's buffers are full.
SLOW_BYTES = 200_000
WAIT_SECONDS = 30.0
#: After which a client that was refused tries again: sooner than Retry-After asks for. To limit how many requests a
#: client may make is another defence.
HASTE_SECONDS = 1.0

SEED = """
INSERT INTO payouts_payout (id, merchant_id, mode, status, amount, currency, recipient_details, comment, reference,
    metadata, provider, provider_reference, failure_code, failure_message, attempts_count, version, created_at)
SELECT gen_random_uuid(), %s, 'test', 'pending', 10 + n %% 1000,
    (ARRAY['EUR', 'USD', 'GBP', 'CHF', 'SEK'])[1 + n %% 5], '"somebody"', repeat('x', 400), '', '{}',
    'bank-' || n / 5 %% 4, '', '', '', 0, 1, now() - make_interval(days => n / 20 %% %s, hours => 1)
FROM generate_series(0, %s) AS n
"""


@dataclass(frozen=True)
class Target:
    """What an attack and the bystander know."""

    port: int
    bystander: str
    attacker: str
    download: str

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)

    def socket(self) -> socket.socket:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        made.settimeout(WAIT_SECONDS)
        made.connect(("127.0.0.1", self.port))
        return made

    def get(self, path: str, secret: str) -> tuple[int, bytes]:
        connection = self.connect()
        connection.request("GET", path, headers={"Authorization": f"Api-Key {secret}"})
        response = connection.getresponse()
        return response.status, response.read()


def take_slowly(target: Target, path: str, secret: str) -> None:
    """Take an answer at SLOW_BYTES a second."""
    raw = target.socket()
    headers = f"Host: 127.0.0.1\r\nAuthorization: Api-Key {secret}\r\nConnection: close\r\n"
    raw.sendall(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
    is_refused = b" 429 " in raw.recv(20)
    while raw.recv(SLOW_BYTES // 20):
        time.sleep(1 / 20)
    time.sleep(HASTE_SECONDS if is_refused else 0)


def download(target: Target) -> None:
    take_slowly(target, target.download, "")


def stream(target: Target) -> None:
    take_slowly(target, "/api/payouts/export/?format=ndjson", target.attacker)


def summarize(target: Target) -> None:
    status, _ = target.get(SUMMARY, target.attacker)
    time.sleep(0 if status == 200 else HASTE_SECONDS)


def send_slowly(target: Target) -> None:
    """Send a byte a second, of the head and then of the body."""
    raw = target.socket()
    raw.sendall(b"POST /api/payouts/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n")
    for byte in b"X: x\r\n\r\n" + b"{" * 30:
        raw.sendall(bytes([byte]))
        time.sleep(1)


def never_hang_up(target: Target) -> None:
    raw = target.socket()
    raw.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    raw.recv(1000)
    time.sleep(3)


def log_in(target: Target) -> None:
    connection = target.connect()
    connection.request("GET", "/admin/login/")
    response = connection.getresponse()
    token = response.read().decode().partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    cookie = (response.headers["Set-Cookie"] or "").partition(";")[0]
    form = urlencode({"username": "root", "password": "p" * 1000, "csrfmiddlewaretoken": token})
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie, "Referer": "http://127.0.0.1/"}
    for _ in range(20):
        connection.request("POST", "/admin/login/", form, headers)
        response = connection.getresponse()
        response.read()
        time.sleep(0 if response.status == 200 else HASTE_SECONDS)


def forge_callbacks(target: Target) -> None:
    connection = target.connect()
    for _ in range(50):
        connection.request("POST", "/api/callbacks/sandbox/", "{}")
        connection.getresponse().read()


#: Each with the number of its clients.
ATTACKS: dict[str, tuple[Callable[[Target], None], int]] = {
    "downloads": (download, 8),
    "streams": (stream, 8),
    "summaries": (summarize, 8),
    "slow requests": (send_slowly, 10),
    "no hanging up": (never_hang_up, 10),
    "logins": (log_in, 8),
    "forged callbacks": (forge_callbacks, 2),
}


def attack(name: str, target: Target) -> None:
    """Attack until the process is killed."""
    action, clients = ATTACKS[name]

    def run() -> None:
        while True:
            with suppress(OSError, http.client.HTTPException):
                action(target)
            time.sleep(0.01)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()


@dataclass(frozen=True)
class Figures:
    """Milliseconds of the bystander's POST, and how many failed."""

    p50: float
    p99: float
    count: int
    failed: int


def stand_by(target: Target, *, seconds: float) -> Figures:
    """POST one payout after the other, each on a connection of its own, as from many clients."""
    times, failed = [], 0
    ends_at = time.perf_counter() + seconds
    while time.perf_counter() < ends_at:
        started = time.perf_counter()
        try:
            connection = target.connect()
            headers = {"Authorization": f"Api-Key {target.bystander}", "Content-Type": "application/json"}
            connection.request("POST", "/api/payouts/", BODY, headers)
            response = connection.getresponse()
            response.read()
            failed += response.status != 201
            connection.close()
        except (OSError, http.client.HTTPException):
            failed += 1
        times.append((time.perf_counter() - started) * 1000)
        time.sleep(0.01)
    times.sort()
    return Figures(statistics.median(times), times[int(len(times) * 0.99)], len(times), failed)


def prepare() -> tuple[str, str, str]:
    """Fill the database, and return the keys of bystander and attacker and the id of a completed export."""
    call_command("migrate", verbosity=0)
    bystander, attacker = (services.create_merchant(name) for name in ("bystander", "attacker"))
    User.objects.create_superuser("root")
    with connection.cursor() as cursor:
        cursor.execute(SEED, [attacker.pk, DAYS, PAYOUTS])
        cursor.execute("ANALYZE payouts_payout")
    columns = {"mode": "test", "kind": "job", "format": "csv", "ordering": "-created_at", "actor": "merchant:bench"}
    export = Export.objects.create(merchant=attacker, **columns)
    jobs.run(export.pk)
    keys = [services.issue_api_key(merchant, name="bench")[1] for merchant in (bystander, attacker)]
    connection.close()
    return keys[0], keys[1], str(export.pk)


@contextmanager
def serving() -> Iterator[int]:
    """Serve on a free port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(512)
        port = int(listener.getsockname()[1])
        command = ["-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "--bind", f"fd://{listener.fileno()}"]
        server = subprocess.Popen([sys.executable, *command], cwd=ROOT, pass_fds=(listener.fileno(),))
    try:
        ends_at = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < ends_at:
            with suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def measure(name: str, target: Target, *, seconds: float) -> dict[str, Any]:
    alone = stand_by(target, seconds=seconds)
    command = [sys.executable, "-m", "bench.attacks", "--attack", name, "--target", json.dumps(vars(target))]
    attacker = subprocess.Popen(command, cwd=ROOT)
    try:
        # Until the attack has its threads.
        time.sleep(2)
        beside = stand_by(target, seconds=2 * seconds)
    finally:
        attacker.kill()
        attacker.wait()
    # Until the server has noticed.
    time.sleep(2)
    return {"attack": name, "alone": alone, "beside": beside}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.attacks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for the bystander alone; beside, twice that")
    parser.add_argument("--only", default=",".join(ATTACKS), help="attacks, comma-separated")
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--target", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.attack:
        attack(arguments.attack, Target(**json.loads(arguments.target)))
        return
    bystander, attacker, export_id = prepare()
    print("| attack | alone: p50, p99 | beside it: p50, p99 | ratio of p50, p99 | failed |\n|---|---|---|---|---|")
    with serving() as port:
        for name in arguments.only.split(","):
            target = Target(port, bystander, attacker, "")
            status, shown = target.get(f"/api/exports/{export_id}/", attacker)
            assert status == 200, shown
            url = urlsplit(json.loads(shown)["download_url"])
            target = Target(port, bystander, attacker, f"{url.path}?{url.query}")
            print(row(**measure(name, target, seconds=arguments.seconds)), flush=True)


def row(*, attack: str, alone: Figures, beside: Figures) -> str:
    ratios = f"{beside.p50 / alone.p50:.1f}, {beside.p99 / alone.p99:.1f}"
    figures = f"{alone.p50:.0f} ms, {alone.p99:.0f} ms | {beside.p50:.0f} ms, {beside.p99:.0f} ms"
    return f"| {attack} | {figures} | {ratios} | {beside.failed} of {beside.count} |"


if __name__ == "__main__":
    main()
