"""Statements that Django's models compile once, for rows that are read often.

Building a query set and compiling it takes longer than all else that a read of one row needs. The SQL is the same each
time, so it is kept, and the query set stays the one place that says which rows are meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.models import QuerySet


class Compiled:
    """A query set whose parameters are the arguments of the function that makes it, in their order."""

    def __init__(self, make: Callable[..., QuerySet[Any, Any]]) -> None:
        self._make = make
        self._sql: dict[str, str] = {}

    def sql(self, using: str, *arguments: Any) -> str:
        """Return the SQL for a database. The arguments are its parameters."""
        if using not in self._sql:
            sql, parameters = self._make(*arguments).query.get_compiler(connections[using].alias).as_sql()
            # Otherwise the SQL would hold values of the first call.
            assert tuple(parameters) == arguments, parameters
            self._sql[using] = sql
        return self._sql[using]
