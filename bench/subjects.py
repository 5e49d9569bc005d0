"""The applications that are measured: each a gunicorn with the same workers and threads, on a database of its own."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from psycopg import sql

from bench import load, processes
from devstack.processes import children, ports

WORKERS: Final = 2
THREADS: Final = 4
LISTED: Final = 10_000
#: More than anybody sends here: the throttle counts, and refuses nothing.
LIMIT_PER_MINUTE: Final = 600_000
_READY_SECONDS: Final = 30.0

BODY: Final[dict[str, Any]] = {
    "amount": "10.50",
    "currency": "EUR",
    "recipient_details": {"name": "Jane Doe", "account": "sandbox_paid"},
    "comment": "Refund of order 4711",
    "reference": "order-4711",
    "metadata": {"department": "returns"},
}
PATH: Final = "/api/payouts/"
FILTERS: Final = "?status=pending&currency=EUR&amount_min=1&created_after=2020-01-01T00:00:00Z"


@dataclass(kw_only=True)
class Subject:
    name: str
    settings: str
    #: What to prepare: commands of Python, of which the last prints an API key if the subject has any.
    preparations: list[list[str]]
    gunicorn: list[str]
    takes_keys: bool
    environment: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    #: What is measured, by name.
    requests: dict[str, bytes] = field(default_factory=dict)
    port: int = 0
    server: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.server is not None
        return self.server.pid

    def start(self, until: ExitStack) -> None:
        """Make the database, and serve until the stack is closed."""
        database = f"bench_{self.name}"
        _create_database(database)
        self.environment = {
            **os.environ,
            **self.environment,
            "DJANGO_SETTINGS_MODULE": self.settings,
            "BENCH_DATABASE": database,
            "POSTGRES_DB": database,
            "PAYOUTS_WEB_WORKERS": str(WORKERS),
            "PAYOUTS_WEB_THREADS": str(THREADS),
        }
        printed = [self._run(command) for command in self.preparations][-1]
        if printed:
            self.headers = {"Authorization": f"Api-Key {printed}"}
        with _connected(database) as connection:
            # As autovacuum leaves a table of that size behind.
            connection.execute("VACUUM ANALYZE")
        self._serve(until)
        self.requests = self._requests()

    def _run(self, command: list[str]) -> str:
        ran = subprocess.run(
            [sys.executable, *command], env=self.environment, cwd=children.CHECKOUT, check=True, capture_output=True
        )
        return ran.stdout.decode().strip()

    def _serve(self, until: ExitStack) -> None:
        with ports.reserve(0) as listener:
            self.port = int(listener.getsockname()[1])
            self.server = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}", *self.gunicorn],
                env=self.environment,
                cwd=children.CHECKOUT,
                pass_fds=(listener.fileno(),),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        until.callback(self._stop)
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            try:
                self.ask("GET", PATH)
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise SystemExit(f"{self.name} does not serve.")

    def _stop(self) -> None:
        assert self.server is not None
        self.server.terminate()
        self.server.wait()

    def _requests(self) -> dict[str, bytes]:
        keyed = {**self.headers, "Idempotency-Key": f"order-{load.NEW}"} if self.takes_keys else self.headers
        body = json.dumps(BODY)
        made = self.ask("POST", PATH, {**keyed, "Idempotency-Key": "replayed"})
        found = {
            "post": load.request("POST", PATH, headers=keyed, body=body),
            "get": load.request("GET", f"{PATH}{made['id']}/", headers=self.headers),
            "list": load.request("GET", PATH, headers=self.headers),
            "filtered": load.request("GET", f"{PATH}{FILTERS}", headers=self.headers),
        }
        if self.takes_keys:
            again = {**keyed, "Idempotency-Key": "replayed"}
            found["replay"] = load.request("POST", PATH, headers=again, body=body)
        if self.name == OURS:
            found["me"] = load.request("GET", "/api/me/", headers=self.headers)
            found["livez"] = load.request("GET", "/livez", headers={})
        return found

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> Any:
        """Send one request, and return what is answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = json.dumps(BODY) if method == "POST" else None
        connection.request(
            method, path, body, {"Content-Type": "application/json", **(self.headers if headers is None else headers)}
        )
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 300:
            raise SystemExit(f"{self.name} answers {method} {path} with {answer.status}: {content[:500]!r}")
        return json.loads(content)

    def workers_megabytes(self) -> list[float]:
        """Return the memory of each web process."""
        of_server = processes.below(self.pid, among=processes.running())
        return sorted(processes.resident_megabytes(process.pid) for process in of_server if process.pid != self.pid)


OURS: Final = "ours"
#: The same server, as its documentation has it: the threads are what a request that waits for the database needs.
_GUNICORN: Final = ["--workers", str(WORKERS), "--threads", str(THREADS), "--worker-class", "gthread"]


def _contestant(name: str, *, takes_keys: bool) -> Subject:
    return Subject(
        name=name,
        settings=f"bench.contestants.{name}.settings",
        preparations=[["-m", "bench.contestants.prepare", str(LISTED)]],
        gunicorn=[*_GUNICORN, "--keep-alive", "75", "--no-control-socket", "bench.contestants.wsgi"],
        takes_keys=takes_keys,
    )


def subjects() -> list[Subject]:
    """Return what is measured: bare REST framework, what people put together, and ours."""
    ours = Subject(
        name=OURS,
        settings="config.settings",
        preparations=[
            ["manage.py", "migrate", "--noinput"],
            ["manage.py", "create_merchant", "bench"],
            ["-m", "bench.fill", "bench", str(LISTED)],
            ["manage.py", "issue_api_key", "bench"],
        ],
        gunicorn=["--config", "deploy/gunicorn.conf.py", "--max-requests", "0", "config.wsgi"],
        takes_keys=True,
        environment={
            "DJANGO_DEBUG": "false",
            "DJANGO_SECRET_KEY": "only-for-measurements-and-only-on-this-machine",
            "DJANGO_ALLOWED_HOSTS": "127.0.0.1",
            "PAYOUTS_BEHIND_HTTPS": "false",
            "PAYOUTS_STATIC_FROM_SOURCE": "true",
            "PAYOUTS_THROTTLE_REQUESTS_PER_MINUTE": str(LIMIT_PER_MINUTE),
        },
    )
    return [_contestant("bare", takes_keys=False), _contestant("diy", takes_keys=True), ours]


def _create_database(name: str) -> None:
    """Create an empty database on the server of the environment; one of that name is dropped first."""
    with _connected("postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _connected(database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=os.environ["POSTGRES_HOST"],
        port=os.environ["POSTGRES_PORT"],
        user=os.environ["POSTGRES_USER"],
        password=os.environ["POSTGRES_PASSWORD"],
        dbname=database,
        autocommit=True,
    )
