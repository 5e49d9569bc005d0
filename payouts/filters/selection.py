"""The payouts that a request selects: one object for list, total, summary and export."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from payouts import errors
from payouts.models import PayoutQuerySet
from postgres import plans


@dataclass(frozen=True)
class Selection:
    """Some payouts of one merchant in one mode."""

    merchant_id: uuid.UUID
    mode: str
    #: Payouts that match all filters but the time of creation.
    at_any_time: PayoutQuerySet
    #: Creation time: start (inclusive) and end (exclusive). None: no limit.
    created_after: datetime | None
    created_before: datetime | None
    #: The filters by status and currency, which apply to cells of the roll-up as well. None if there are other filters,
    #: which apply to payouts alone.
    of_cells: Q | None
    #: The same for the last change, which `at_any_time` includes.
    updated_after: datetime | None = None
    updated_before: datetime | None = None

    @property
    def payouts(self) -> PayoutQuerySet:
        """Payouts that match all filters."""
        return self.at_any_time.created_within(self.created_after, self.created_before)


@contextmanager
def finding(using: str) -> Iterator[None]:
    """Plan the statements inside for the selection's values.

    Raises SelectionTooSlow if PostgreSQL ends one because of its time limit.
    """
    try:
        with plans.unprepared(using):
            yield
    except plans.StatementTimedOut as error:
        raise errors.SelectionTooSlow from error
