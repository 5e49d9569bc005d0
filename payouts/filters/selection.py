"""The payouts that a request selects: one value for list, total, summary and export."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self, TypeVar

from django.db.models import QuerySet

from payouts import errors
from payouts.filters import filterset
from payouts.filters.filterset import FILTERS
from payouts.models import Payout, PayoutQuerySet, RollupCell
from postgres import plans

Rows = TypeVar("Rows", bound=QuerySet[Any])

ORDERINGS: Final = ("-created_at", "created_at", "-amount", "amount")
_TIMES_OF_CREATION: Final = frozenset({"created_after", "created_before"})
#: Filters by columns that the cells of the roll-up have as well.
_OF_CELLS: Final = frozenset({"status", "currency"})


@dataclass(frozen=True)
class Selection:
    """Some payouts of one merchant in one mode."""

    merchant_id: uuid.UUID
    mode: str
    #: The filters in their JSON form, and the values that this means.
    filters: Mapping[str, Any]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, filters: Mapping[str, Any], *, merchant_id: uuid.UUID, mode: str) -> Self:
        """Return the selection by filters in their JSON form. Raises ParametersRefused."""
        return cls(merchant_id, mode, filters, filterset.parse(filters))

    @property
    def payouts(self) -> PayoutQuerySet:
        """Payouts that match all filters."""
        return self._narrowed(self.at_any_time, _TIMES_OF_CREATION)

    def in_order(self, ordering: str) -> PayoutQuerySet:
        """Return the payouts in one of ORDERINGS."""
        return self.payouts.order_by(*columns_of(ordering))

    @property
    def at_any_time(self) -> PayoutQuerySet:
        """Payouts that match all filters but the time of creation."""
        payouts = Payout.objects.of_merchant(self.merchant_id, self.mode)
        return self._narrowed(payouts, FILTERS.keys() - _TIMES_OF_CREATION)

    @property
    def is_of_cells(self) -> bool:
        """Whether the filters apply to cells of the roll-up as well. Other filters apply to payouts alone."""
        return self.values.keys() <= _OF_CELLS | _TIMES_OF_CREATION

    def cells_at_any_time(self, cells: QuerySet[RollupCell]) -> QuerySet[RollupCell]:
        """Return the cells that match all filters but the time of creation."""
        return self._narrowed(cells, _OF_CELLS)

    def _narrowed(self, rows: Rows, names: Set[str]) -> Rows:
        for name, value in self.values.items():
            if name in names:
                rows = FILTERS[name].filter(rows, value)
        return rows

    @property
    def created_after(self) -> datetime | None:
        """Start of the creation time, inclusive. None: no limit."""
        return self.values.get("created_after")

    @property
    def created_before(self) -> datetime | None:
        """End of the creation time, exclusive."""
        return self.values.get("created_before")

    @property
    def updated_after(self) -> datetime | None:
        """Start of the last change, inclusive."""
        return self.values.get("updated_after")

    @property
    def updated_before(self) -> datetime | None:
        """End of the last change, exclusive."""
        return self.values.get("updated_before")


def columns_of(ordering: str) -> tuple[str, ...]:
    """Return the columns of one of ORDERINGS, the unique one last."""
    return (ordering, "-id" if ordering.startswith("-") else "id")


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
