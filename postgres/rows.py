"""Work in the background on many rows: one that fails is reported, and stops none behind it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from django.db import DatabaseError, transaction
from django.db.models import Model, QuerySet

from postgres.errors import is_busy, is_connection_lost

logger = logging.getLogger(__name__)

#: Rows that are tried one by one, after the database has refused to change them together.
ONE_BY_ONE_MAX: Final = 100

Done = TypeVar("Done")
Row = TypeVar("Row")


def guarded(work: Callable[[], Done], thing: str, identifier: object) -> tuple[bool, Done | None]:
    """Do the work for one row. Return whether it succeeded, and its result. A failure is logged.

    Raises the error of a lost connection: the other rows would fail too.
    """
    extra = {f"{thing}_id": str(identifier)}
    try:
        return True, work()
    except Exception as error:
        if is_connection_lost(error):
            raise
        if is_busy(error):
            # Another transaction holds this row for long.
            logger.warning("sweep.row.locked", extra=extra)
        else:
            logger.exception("sweep.row.failed", extra=extra)
    return False, None


def each(work: Callable[[Row], Done], found: Iterable[Row], thing: str) -> list[Done]:
    """Do the work for each row, and return the results of those that did not fail."""
    done = ((row, guarded(lambda row=row: work(row), thing, row)) for row in found)  # type: ignore[misc]
    return [result for _, (succeeded, result) in done if succeeded and result is not None]


def update(selected: QuerySet[Model], thing: str, **columns: Any) -> int:
    """Update the selected rows together, or else each by itself. Return the number of rows."""
    try:
        with transaction.atomic():
            return selected.update(**columns)
    except DatabaseError as error:
        report_set(error, thing)
    ids = list(selected.order_by("pk").values_list("pk", flat=True)[:ONE_BY_ONE_MAX])
    return sum(each(lambda row: _update_one(selected, row, columns), ids, thing))


def report_set(error: DatabaseError, thing: str) -> None:
    """Report that the database has refused to change rows together. Raises the error of a lost connection."""
    if is_connection_lost(error):
        raise error
    logger.warning("sweep.rows.refused", extra={"rows": thing, "error": " ".join(str(error).split())})


def _update_one(selected: QuerySet[Model], row: object, columns: dict[str, Any]) -> int:
    with transaction.atomic():
        return selected.filter(pk=row).update(**columns)
