"""Everything that a storm breaks, started from nothing: services, bank, platform, and the wires between them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace

from devstack import application
from devstack.processes import ports
from devstack.processes.children import Program
from devstack.processes.launcher import Launcher
from devstack.servers import environment, redis
from tests.storm import bank, limits, orders
from tests.storm.bank import Bank
from tests.storm.clusters import Clusters, address_of
from tests.storm.proxies import Wires
from tests.storm.supervisor import Supervisor

WORKERS = ("worker-1", "worker-2")
SWEEPERS = ("sweeper-1", "sweeper-2")

_READY_SECONDS = 60.0
# libpq would ask for encryption first, and the wire looks for COMMIT in what passes.
_READABLE = {"PGSSLMODE": "disable", "PGGSSENCMODE": "disable"}
_CELERY = (*application._CELERY, *application._WORKER, *application._WORKER_QUIET)
# The second is the operator's, which nothing breaks.
_TO_DATABASE = ("to_database", "desk_to_database")
_BANK_PATH = "/v1"
_CALLBACK_PATH = "/api/callbacks/http_bank/"


class Stage:
    """What runs. `keys` are the API keys by merchant and mode; `to_web` is the port that their clients use."""

    def __init__(self, launch: Launcher, wires: Wires, *, seed: int) -> None:
        self.launch = launch
        self.wires = wires
        self.supervisor = Supervisor(launch.children, seed=seed)
        self.bank = Bank(port=ports.free(), seed=seed)
        self.keys: dict[str, str] = {}
        self.to_web = 0
        self._secrets = launch.state.secrets()
        self.clusters = Clusters(
            launch,
            supervisor=self.supervisor,
            password=self._secrets["postgres_password"],
            replication_password=self._secrets["replication_password"],
        )
        self._environment: dict[str, str] = {}

    def start(self) -> None:
        """Return when everything serves."""
        self.web_port = ports.free()
        self.to_web = self.wires.add("to_web", upstream_port=self.web_port)
        self._start_bank()
        self._start_redis()
        self.clusters.start()
        self._wait(
            lambda: self.redis.answers() and self.clusters.server.is_ready() and self.bank.is_up(), "The services"
        )
        self._environment = self._make_environment()
        self._prepare()
        self._start_platform()
        self._wait(lambda: application.is_ready(self.web_port), "The web server")

    @property
    def database(self) -> str:
        """How to reach PostgreSQL directly, past all faults of the network."""
        return address_of(self.clusters.server)

    @property
    def desk_environment(self) -> dict[str, str]:
        """The environment of an operator, who works past all faults of the network."""
        direct = environment.with_broker(self._with_database("desk_to_database"), self.redis.url)
        return {**direct, "PAYOUTS_PROCESS_NAME": "payouts-desk"}

    def move_bank(self) -> None:
        """Give the bank another address, as docs/http-bank.md has it: each process is restarted, and the id stays."""
        url = _bank_url(self.wires.move("to_bank"))
        for name in ("web", *WORKERS, *SWEEPERS):
            self.supervisor.change(name, {"PAYOUTS_HTTP_BANK_URL": url})

    def promote_standby(self) -> None:
        """Let the standby take over, and all find it at the address of the primary."""
        self.clusters.promote()
        for name in _TO_DATABASE:
            self.wires.reroute(name, upstream_port=self.clusters.server.port)

    def is_whole(self) -> bool:
        """Whether every process runs and those that can be asked say that they serve."""
        return self.supervisor.is_whole and self.bank.is_up() and application.is_ready(self.web_port)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        self.launch.children.wait_for(condition, what=what, seconds=_READY_SECONDS)

    def _start_bank(self) -> None:
        url = f"http://{ports.LOOPBACK}:{self.to_web}{_CALLBACK_PATH}"
        self.supervisor.start(self.bank.program(book=self.launch.state.path / "bank.sqlite3", callback_url=url))

    def _start_redis(self) -> None:
        # It keeps nothing: what is in its queues when it is killed is gone.
        self.redis, child = redis.start(
            self.launch.children,
            directory=self.launch.state.path / "redis",
            password=self._secrets["redis_password"],
            durable=False,
        )
        self.supervisor.adopt(child)

    def _make_environment(self) -> dict[str, str]:
        for name in _TO_DATABASE:
            self.wires.add(name, upstream_port=self.clusters.server.port)
        to_broker = self.wires.add("to_broker", upstream_port=self.redis.port)
        to_bank = self.wires.add("to_bank", upstream_port=self.bank.port)
        self._environment = environment.for_processes(
            secret_key=self._secrets["secret_key"], state_directory=str(self.launch.state.path)
        )
        result = self._with_database("to_database")
        result = environment.with_broker(result, replace(self.redis, port=to_broker).url)
        return {**result, **_READABLE, **self._settings(bank_port=to_bank)}

    def _with_database(self, wire: str) -> dict[str, str]:
        there = replace(self.clusters.server, port=self.wires.port_of(wire))
        return environment.with_database(self._environment, there.environment)

    def _settings(self, *, bank_port: int) -> dict[str, str]:
        return {
            "PAYOUTS_WEB_BIND": f"{ports.LOOPBACK}:{self.web_port}",
            "PAYOUTS_WEB_WORKERS": "2",
            "PAYOUTS_LIVE_PROVIDER": "http_bank",
            "PAYOUTS_HTTP_BANK_URL": _bank_url(bank_port),
            "PAYOUTS_HTTP_BANK_ID": "storm",
            "PAYOUTS_HTTP_BANK_SECRET": bank.SECRET,
            "PAYOUTS_HTTP_BANK_CALLBACK_SECRET": bank.CALLBACK_SECRET,
            "PAYOUTS_HTTP_BANK_CONCURRENCY_MAX": str(limits.CALLS_AT_ONCE_MAX),
            "PAYOUTS_HTTP_BANK_IDEMPOTENCY_SECONDS": str(limits.MEMORY_SECONDS),
            "PAYOUTS_HTTP_BANK_RETURN_SECONDS": str(limits.RETURN_SECONDS),
            "PAYOUTS_PROVIDER_TIMEOUT_SECONDS": str(limits.CALL_SECONDS),
            "PAYOUTS_RETRY_DELAY_MAX_SECONDS": str(limits.RETRY_SECONDS_MAX),
        }

    def _prepare(self) -> None:
        file = self.launch.state.path / "keys.json"
        command = [sys.executable, "-m", "tests.storm.prepare", str(file), orders.WHALE, *orders.MERCHANTS]
        self.launch.children.run(Program(name="prepare", command=command, environment=self._environment))
        self.keys = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()

    def _start_platform(self) -> None:
        self._start("web", "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "config.wsgi:application")
        for name in WORKERS:
            self._start(name, *_CELERY, "--hostname", f"{name}@storm")
        for name in SWEEPERS:
            self._start(name, "manage.py", "sweep_payouts", "--interval-seconds", str(limits.SWEEP_SECONDS))

    def _start(self, name: str, *arguments: str) -> None:
        program = Program(
            name=name,
            command=[sys.executable, *arguments],
            # The name under which the process is seen in pg_stat_activity.
            environment={**self._environment, "PAYOUTS_PROCESS_NAME": f"payouts-{name}"},
        )
        self.supervisor.start(program)


def _bank_url(port: int) -> str:
    return f"http://{ports.LOOPBACK}:{port}{_BANK_PATH}"
