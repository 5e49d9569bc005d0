"""The tables are emptied behind a test that commits.

Django truncates every table and makes the content types and permissions again, which takes longer than most tests. Only
tables that have rows need to be truncated, and no test changes what the models themselves say.
"""

from __future__ import annotations

from typing import Any

from django.db import connections

#: Django would fill these again with the same rows.
KEPT = frozenset({"django_content_type", "auth_permission"})


def tables(connection: Any) -> list[str]:
    """Return the tables of all models that are to be emptied."""
    return sorted(set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - KEPT)


def filled_tables(connection: Any) -> list[str]:
    """Return those of them that have rows."""
    looks = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in tables(connection))
    with connection.cursor() as cursor:
        cursor.execute(looks)
        return [name for (name,) in cursor.fetchall()]


def flush(connection: Any) -> None:
    """Empty the tables that have rows."""
    if filled := filled_tables(connection):
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(filled)} CASCADE")


def tear_down(test_case: Any) -> None:
    """Do what Django does behind a test that commits (TransactionTestCase._fixture_teardown)."""
    for name in test_case._databases_names(include_mirrors=False):
        flush(connections[name])
