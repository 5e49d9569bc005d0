"""A PgBouncer of a test's own, that gives each transaction whatever session of PostgreSQL is free."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from devstack.processes import ports
from tests.chaos.crashing_servers import wait_until

REQUIRED_VARIABLE = "PAYOUTS_REQUIRE_PGBOUNCER"

# Debian keeps it where the path of an ordinary user does not lead.
_DEBIAN = "/usr/sbin/pgbouncer"

# `any`: whoever connects is the one user of the database. `options`: what PGOPTIONS bounds is a session's, and there is
# none for a client here.
_CONFIGURATION = """\
[databases]
* = host={HOST} port={PORT} user={USER} password={PASSWORD}
[pgbouncer]
listen_addr = {loopback}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
ignore_startup_parameters = options,extra_float_digits
"""

# The first words of libpq's: it asks for encryption, and is refused with an N.
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


class PgBouncer:
    def __init__(self, program: str, directory: Path, database: dict[str, Any], *, pool_size: int) -> None:
        self.port = ports.free()
        self.output_file = directory / "pgbouncer.output"
        configuration = directory / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(**database, loopback=ports.LOOPBACK, port=self.port, pool_size=pool_size),
            encoding="utf-8",
        )
        # As root it would refuse to run.
        identity = ("--user", "nobody") if os.getuid() == 0 else ()
        with self.output_file.open("wb") as output:
            self._process = subprocess.Popen(
                [program, *identity, str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        """Return when it answers."""
        wait_until(self._answers, what=f"PgBouncer answers (see {self.output_file})")

    def close(self) -> None:
        """Leave nothing behind, whatever a test did."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.output_file.read_text(encoding="utf-8", errors="replace")
        return ports.answers(self.port, say=_SSL_REQUEST, expect=b"N")


@contextmanager
def running_pgbouncer(directory: Path, database: dict[str, Any], *, pool_size: int) -> Iterator[PgBouncer]:
    """Yield a PgBouncer that answers. A machine that has none skips the test, or fails it if that is not wanted."""
    program = shutil.which("pgbouncer") or (_DEBIAN if os.access(_DEBIAN, os.X_OK) else None)
    if program is None:
        sentence = "There is no pgbouncer on this machine (Debian and Ubuntu: apt install pgbouncer)."
        if os.environ.get(REQUIRED_VARIABLE):
            pytest.fail(sentence)
        pytest.skip(sentence)
    with closing(PgBouncer(program, directory, database, pool_size=pool_size)) as pooler:
        pooler.wait()
        yield pooler
