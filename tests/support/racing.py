"""Real threads that start together, each with a database connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection

_JOIN_SECONDS = 30.0


def run_together(*calls: Callable[[], object]) -> list[Any]:
    """Run the calls at the same time and return what each returned, or the exception that it raised, in their order."""
    barrier = threading.Barrier(len(calls))
    results: dict[int, object] = {}

    def run(number: int, call: Callable[[], object]) -> None:
        try:
            # Connecting takes longer than what is raced for.
            connection.ensure_connection()
            barrier.wait(_JOIN_SECONDS)
            results[number] = call()
        except Exception as error:  # noqa: BLE001 - the caller judges it
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_JOIN_SECONDS)
    assert len(results) == len(calls), "A thread hangs."
    return [results[number] for number in range(len(calls))]
