"""The PostgreSQL backend of a replica: read-only, and gives up a silent server.

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
    """Gives up on a frozen server, whose kernel keeps the connection alive without an answer."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        return super().wait(_attentive(gen), *args, **kwargs)


def _attentive(steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run the driver's steps. After each tenth of a second without data, check the replica's health."""
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
        # A standby refuses writes anyway, but a promoted one does not. (As an option of the connection this would
        # replace PGOPTIONS.)
        self.connection.execute("SET default_transaction_read_only = on")
