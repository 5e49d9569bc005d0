"""A RabbitMQ of a test's own: in a place of its own, on ports of its own, and on one core of the machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from devstack.processes import ports

REQUIRED_VARIABLE = "PAYOUTS_REQUIRE_RABBITMQ"

# Erlang takes its time to start, and more of it when the machine has other things to do.
_START_SECONDS = 60.0
_POLL_SECONDS = 0.1

# Debian's own command becomes another user, who may not write where tests do.
_DEBIAN = "/usr/lib/rabbitmq/lib"

_CONFIGURATION = """\
listeners.tcp.1 = {loopback}:{port}
# A machine that runs tests may be short of either; this server holds a few rings.
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 1MB
"""

# One thread that sleeps while there is nothing to do; and nothing for other machines to connect to.
_ERLANG = "+S 1:1 +SDio 1 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"


class RabbitMQ:
    def __init__(self, program: Path, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._port, distribution_port, mapper_port = (ports.free() for _ in range(3))
        self._environment = os.environ | {
            "HOME": str(directory),
            "ERL_EPMD_ADDRESS": ports.LOOPBACK,
            "ERL_EPMD_PORT": str(mapper_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(distribution_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
            "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_NODENAME": "payouts@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": ports.LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }
        configuration = _CONFIGURATION.format(loopback=ports.LOOPBACK, port=self._port)
        (directory / "rabbitmq.conf").write_text(configuration, encoding="utf-8")
        (directory / "enabled_plugins").write_text("[].\n", encoding="utf-8")
        # Where Erlang finds its nodes. RabbitMQ would start one too, and leave it behind.
        self._mapper = self._popen("epmd", "-address", ports.LOOPBACK, "-port", str(mapper_port))
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{ports.LOOPBACK}:{self._port}//"

    @property
    def output_file(self) -> Path:
        return self._directory / "output"

    def start(self) -> None:
        """Return when it answers."""
        self._server = self._popen(str(self._program))
        deadline = time.monotonic() + _START_SECONDS
        while not ports.answers(self._port, say=b"AMQP\x00\x00\x09\x01", expect=b"RabbitMQ"):
            assert self._server.poll() is None, self.output_file.read_text(encoding="utf-8", errors="replace")
            assert time.monotonic() < deadline, f"RabbitMQ did not start (see {self.output_file})."
            time.sleep(_POLL_SECONDS)

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def stop(self) -> None:
        """End it as a power cut would."""
        if self._server is not None:
            self._send(signal.SIGKILL)
            self._server.wait()
            self._server = None

    def consumers(self, queue: str) -> int:
        """Return how many workers listen to the queue."""
        with Connection(self.url, connect_timeout=5) as connection:
            channel: Any = connection.default_channel
            return int(channel.queue_declare(queue, passive=True).consumer_count)

    def close(self) -> None:
        """Leave nothing behind, whatever a test did."""
        self.stop()
        self._mapper.kill()
        self._mapper.wait()

    def _popen(self, *command: str) -> subprocess.Popen[bytes]:
        with self.output_file.open("ab") as output:
            return subprocess.Popen(
                command,
                env=self._environment,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _send(self, number: int) -> None:
        """Send a signal to the script that was started and to Erlang, which it starts."""
        assert self._server is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, number)


@contextmanager
def running_rabbitmq(directory: Path) -> Iterator[RabbitMQ]:
    """Yield a RabbitMQ that answers. Where the machine has none, skip the test, or fail it where that is not wanted."""
    program = _find()
    if program is None:
        sentence = "There is no rabbitmq-server on this machine (Debian and Ubuntu: apt install rabbitmq-server)."
        if os.environ.get(REQUIRED_VARIABLE):
            pytest.fail(sentence)
        pytest.skip(sentence)
    with closing(RabbitMQ(program, directory)) as server:
        server.start()
        yield server


def _find() -> Path | None:
    found = next(Path(_DEBIAN).glob("rabbitmq_server-*/sbin/rabbitmq-server"), None)
    on_path = shutil.which("rabbitmq-server")
    return found or (Path(on_path) if on_path else None)
