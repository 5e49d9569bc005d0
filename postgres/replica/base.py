"""PostgreSQL, for a replica: it writes nothing, and gives up a server that has fallen silent.

Django looks for its database backends in a module of this name.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import waiting

from postgres import base
from postgres.replica import routing


class Connection(psycopg.Connection[Any]):
    """A statement on a server that is frozen would wait for ever: the kernel there still says that all is well."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        return super().wait(_attentive(gen), *args, **kwargs)


def _attentive(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Take the steps of the driver. Whenever nothing has come for a tenth of a second, see whether anything will."""
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if ready == waiting.READY_NONE and routing.health().is_unreachable:
                raise psycopg.OperationalError("the replica has fallen silent")
            wanted = steps.send(ready)
    except StopIteration as done:
        return done.value


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return Connection.connect(**conn_params)

    def init_connection_state(self) -> None:
        super().init_connection_state()
        # A standby refuses to write anyway. One that was promoted a moment ago would not. (As an option of the
        # connection it would displace those of PGOPTIONS.)
        self.connection.execute("SET default_transaction_read_only = on")
