"""The platform's own processes: web server, worker, sweeper, on top of the services and beside the bank."""

from __future__ import annotations

import http.client
import os
import socket
import sys
from pathlib import Path

from devstack import bootstrap
from devstack.processes import children, launcher, ports
from devstack.servers import bank, environment, services

PROCESSES = ("web", "worker", "sweeper", "bank")
_CALLBACKS = "/api/callbacks/http_bank/"
_READY_SECONDS = 60.0
# Celery warns about root because of pickle, which we do not accept. Our own lines replace its banner.
_CELERY = ("-W", "ignore:You're running the worker", "-m", "celery", "--quiet")
_QUEUES = "payouts,callbacks,exports"
_WORKER = ("--app", "config", "worker", "--queues", _QUEUES, "--concurrency", "2", "--loglevel", "INFO")
_WORKER_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat")


class Application:
    """A whole stack: services, migrated database, bank, web server, worker, sweeper."""

    def __init__(
        self, launch: launcher.Launcher, *, listener: socket.socket, durable: bool, with_replica: bool = False
    ) -> None:
        self._launch = launch
        self._listener = listener
        self._durable = durable
        self.with_replica = with_replica
        self.port = int(listener.getsockname()[1])
        self.base_url = f"http://{ports.LOOPBACK}:{self.port}"
        self.environment: dict[str, str] = {}
        #: None if the caller's environment names a live provider.
        self.bank: bank.Bank | None = None

    def start(self, *, first_merchant: bool) -> bootstrap.FirstStart | None:
        """Start everything and return once it serves. Return what must be shown once, on the first start."""
        started = services.start(self._launch, durable=self._durable, with_replica=self.with_replica)
        self.environment = started.environment
        self._start_bank()
        self._run("migrate", "manage.py", "migrate", "--noinput")
        self._connect_bank()
        self._start_processes()
        first = self._bootstrap(created=started.cluster_created) if first_merchant else None
        self._launch.children.wait_for(lambda: is_ready(self.port), what="The web server", seconds=_READY_SECONDS)
        self._launch.state.write_stack(self._describe())
        return first

    def _start_bank(self) -> None:
        if not environment.wants_bank(os.environ):
            return
        secrets = self._launch.state.secrets()
        self.bank = bank.Bank(
            self._launch,
            book=Path(self._launch.state.path, "bank.sqlite3"),
            secret=secrets["bank_secret"],
            callback_secret=secrets["bank_callback_secret"],
            callback_url=f"{self.base_url}{_CALLBACKS}",
        )
        self.bank.start()

    def _connect_bank(self) -> None:
        """Send live payouts to the bank. The migration does not need the bank, so it is awaited only here."""
        if self.bank is not None:
            self.bank.wait()
            self.environment = self.bank.give_to(self.environment)

    def _start_processes(self) -> None:
        self._start("web", "-m", "gunicorn", *self._web_options(), listener=self._listener, address=self.base_url)
        # The web server has the socket. If we kept it, the port would look taken after the web server has ended.
        self._listener.close()
        self._start("worker", *_CELERY, *_WORKER, *_WORKER_QUIET)
        self._start("sweeper", "manage.py", "sweep_payouts")

    def _web_options(self) -> list[str]:
        bind = f"fd://{self._listener.fileno()}"
        return ["--config", "deploy/gunicorn.conf.py", "--bind", bind, "config.wsgi:application"]

    def _start(
        self, name: str, *arguments: str, listener: socket.socket | None = None, address: str | None = None
    ) -> None:
        program = children.Program(
            name=name,
            command=[sys.executable, *arguments],
            # The name of the process in pg_stat_activity.
            environment={**self.environment, "PAYOUTS_PROCESS_NAME": f"payouts-{name}"},
            address=address,
            pass_fds=(listener.fileno(),) if listener else (),
            echo=True,
        )
        self._launch.children.start(program)

    def _run(self, name: str, *arguments: str) -> None:
        command = [sys.executable, *arguments]
        self._launch.children.run(children.Program(name=name, command=command, environment=self.environment))

    def _bootstrap(self, *, created: bool) -> bootstrap.FirstStart | None:
        """Create the first merchant, key and admin, unless an earlier start has shown them."""
        if self._launch.state.first_start_mark.exists() and not created:
            return None
        answer = Path(self._launch.state.path, "first-start.json")
        own_database = (
            ["--own-database"] if "postgres" in {child.name for child in self._launch.children.running} else []
        )
        self._run("bootstrap", "-m", "devstack.bootstrap", *own_database, str(answer))
        return bootstrap.take(answer)

    def _describe(self) -> dict[str, object]:
        return {
            "base_url": self.base_url,
            "processes": [_describe(child) for child in self._launch.children.running],
            "environment": environment.to_attach(self.environment),
        }


def _describe(child: children.Child) -> dict[str, object]:
    return {"name": child.name, "pid": child.pid, "started": child.started, "address": child.program.address}


def is_ready(port: int) -> bool:
    """Say whether the web server, its database and its broker answer."""
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=5.0)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
