from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection


@pytest.fixture
def lock_timeout() -> Callable[[], str]:
    """Return what PostgreSQL says how long a statement of ours waits for a lock."""

    def show() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            return str(cursor.fetchone()[0])

    return show
