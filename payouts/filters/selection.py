"""What the filters of a request select: one object for a list, its total, its sums and its export."""

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
    #: Those that all filters select, but for the time of creation.
    at_any_time: PayoutQuerySet
    #: Created at this time or later, and before this one; None: no limit.
    created_after: datetime | None
    created_before: datetime | None
    #: The filters by status and currency, which a cell of the roll-up answers as well as a payout; None where there are
    #: others beside them, that only the payouts themselves can answer.
    of_cells: Q | None
    #: The same for the time of the last change, which `at_any_time` has heeded.
    updated_after: datetime | None = None
    updated_before: datetime | None = None

    @property
    def payouts(self) -> PayoutQuerySet:
        """Those that all filters select."""
        return self.at_any_time.created_within(self.created_after, self.created_before)


@contextmanager
def finding(using: str) -> Iterator[None]:
    """Plan the statements inside for the values of the selection.

    Raises SelectionTooSlow if PostgreSQL ends one because of its time limit.
    """
    try:
        with plans.unprepared(using):
            yield
    except plans.StatementTimedOut as error:
        raise errors.SelectionTooSlow from error
