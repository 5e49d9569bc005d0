from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection


@pytest.fixture
def time_limits() -> Callable[[], list[str]]:
    """Return what PostgreSQL says how long a statement of ours waits for a lock, and how long it takes at most."""

    def show() -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
            return list(cursor.fetchone())

    return show
