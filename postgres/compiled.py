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
    """A query set whose parameters are the arguments of the function that makes it, in their order.

    Without arguments its parameters are constants of the query set, and are kept with the SQL.
    """

    def __init__(self, make: Callable[..., QuerySet[Any, Any]]) -> None:
        self._make = make
        self._compiled: dict[str, tuple[str, tuple[Any, ...]]] = {}

    def rows(self, using: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a database."""
        sql, constants = self._statement(using, *arguments)
        with connections[using].cursor() as cursor:
            cursor.execute(sql, arguments or constants)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def sql(self, using: str, *arguments: Any) -> str:
        """Return the SQL for a database. The arguments are its parameters."""
        return self._statement(using, *arguments)[0]

    def _statement(self, using: str, *arguments: Any) -> tuple[str, tuple[Any, ...]]:
        if using not in self._compiled:
            sql, parameters = self._make(*arguments).query.get_compiler(connections[using].alias).as_sql()
            # Otherwise the SQL would hold values of the first call.
            assert not arguments or tuple(parameters) == arguments, parameters
            self._compiled[using] = sql, tuple(parameters)
        return self._compiled[using]
