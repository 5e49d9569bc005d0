"""Time-outs of the server behind a pooler that drops them.

A process asks for its time-outs in PGOPTIONS, which libpq sends when it connects. A transaction pooler such as
PgBouncer drops them: what one client sets would hold for the next client of that session. So a transaction sets them
itself then, for its own time (postgres/base.py). A statement outside of a transaction has none.
"""

from __future__ import annotations

import os
import re
from typing import Any, Final

import psycopg
from psycopg import sql

NAMES: Final = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")

#: The time-outs of the processes that have some. A migration has none.
_WANTED: Final = "PGOPTIONS_WANTED"

_OPTION: Final = re.compile(r"(?:-c\s*|--)([a-z_]+)=(\S+)")
# No installation has this one by itself.
_PROBE: Final = "4321ms"


def asked_for(options: str) -> dict[str, str]:
    """Return the time-outs that these start-up options ask for."""
    return {name: value for name, value in _OPTION.findall(options) if name in NAMES}


def ask_for(options: str) -> None:
    """Have the connections of this process ask for these start-up options. The operator's own PGOPTIONS win.

    An empty PGOPTIONS is for a pooler that refuses start-up options. The time-outs are wanted all the same.
    """
    os.environ.setdefault("PGOPTIONS", options)
    os.environ.setdefault(_WANTED, options)


def dropped(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the time-outs that this process asks for and the session does not have."""
    asked = asked_for(os.environ.get("PGOPTIONS") or os.environ.get(_WANTED, ""))
    if not asked:
        return {}
    row = connection.execute(f"SELECT {', '.join(f'current_setting({name!r})' for name in asked)}").fetchone()
    return {name: value for (name, value), now in zip(asked.items(), row or (), strict=False) if now == "0"}


def set_locally(connection: psycopg.Connection[Any], time_outs: dict[str, str]) -> None:
    """Set the time-outs for the transaction that begins with this statement.

    SET is no query for PostgreSQL: the transaction may still choose its isolation (postgres/snapshots.py).
    """
    each = [
        sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(name), sql.Literal(value))
        for name, value in time_outs.items()
    ]
    connection.execute(sql.SQL("; ").join(each), prepare=False)


def are_passed_on(parameters: dict[str, Any]) -> bool:
    """Tell whether start-up options reach the server to which these parameters connect.

    Raises OperationalError if there is no connection, also if a pooler refuses them.
    """
    probing = {**parameters, "options": f"-c lock_timeout={_PROBE}"}
    with psycopg.connect(**probing, autocommit=True) as connection:
        row = connection.execute("SELECT current_setting('lock_timeout')").fetchone()
    return row == (_PROBE,)
