"""Counts and sums of what a selection selects. What is over is told by the roll-up, all else by the payouts themselves.

Amounts are never added across currencies: a row is always of one.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import reduce
from typing import Any, Final, NotRequired, TypedDict, cast

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, DateField, Func, Max, Min, Q, QuerySet, Sum

from payouts import errors, money
from payouts.filters import selection as selections
from payouts.filters.selection import Selection
from payouts.models import RollupCell, RollupMark, RollupState
from payouts.summaries import coverage as rollup_coverage
from payouts.summaries import time_zones
from payouts.summaries.coverage import Coverage, Range
from postgres import snapshots

#: What the rows can be grouped by, in the order by which they are sorted.
COLUMNS: Final = ("day", "status", "currency", "provider")
DEFAULT_GROUPS: Final = frozenset({"status", "currency"})
#: What one answer can hold: 2 MB of JSON. A year by day, with 27 rows each.
ROWS_MAX: Final = 10_000
# Queries that are united to one statement.
_QUERIES_MAX: Final = 20
# Digits with which it is reckoned: a sum of 34, and as many behind the point as an average needs to be rounded right.
_DIGITS: Final = 60

Key = tuple[Any, ...]


class _LocalDay(Func):
    """The day on which a payout was created, in a time zone."""

    output_field = DateField()

    def __init__(self, zone: tzinfo) -> None:
        super().__init__("created_at")
        self.offsets = None if zone is UTC else time_zones.offsets_of(zone)

    # It takes none of the options of Func that the stubs name.
    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, tuple[Any, ...]]:  # type: ignore[override]
        del connection, context
        column, _ = compiler.compile(self.source_expressions[0])
        in_utc = f"{column} AT TIME ZONE 'UTC'"
        if self.offsets is None:
            return f"({in_utc})::date", ()
        local = f"{in_utc} + (%s::interval[])[1 + width_bucket({column}, %s::timestamptz[])]"
        return f"({local})::date", (list(self.offsets.offsets), list(self.offsets.changes))


@dataclass(frozen=True)
class Grouping:
    """What the rows of a summary are split by (by currency in any case), and where a day begins."""

    groups: frozenset[str] = DEFAULT_GROUPS
    zone: tzinfo = UTC

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in COLUMNS if name in self.groups or name == "currency")


class Total(TypedDict):
    """Payouts of one currency. Their number, and their amounts in its units: sum, average, least and greatest."""

    currency: str
    count: int
    amount: str
    #: Rounded half to even, to the decimals of the currency.
    average: str
    min: str
    max: str


class Row(Total):
    """The same of those that agree in what was asked for. No fees: the platform charges and knows none yet."""

    #: In the time zone that was asked for, such as 2026-11-23.
    day: NotRequired[str]
    status: NotRequired[str]
    provider: NotRequired[str]


class Summary(TypedDict):
    """Rows in the order of their day, status, currency and provider, and all of a currency together."""

    results: list[Row]
    totals: list[Total]


@dataclass(frozen=True)
class _Figures:
    count: int
    amount: Decimal
    amount_min: Decimal
    amount_max: Decimal

    def __add__(self, other: _Figures) -> _Figures:
        return _Figures(
            self.count + other.count,
            self.amount + other.amount,
            min(self.amount_min, other.amount_min),
            max(self.amount_max, other.amount_max),
        )


def summarize(selection: Selection, grouping: Grouping) -> Summary:
    """Return the summary of the payouts selected, exact as of one moment.

    Raises SummaryTooLarge for more than ROWS_MAX rows.
    """
    columns = grouping.columns
    currency_at = columns.index("currency")
    using = selection.at_any_time.db
    with localcontext(prec=_DIGITS, rounding=ROUND_HALF_EVEN), selections.finding(using):
        rows = _added(_rows(selection, grouping, using))
        if len(rows) > ROWS_MAX:
            raise errors.SummaryTooLarge
        totals = _added(((key[currency_at],), figures) for key, figures in rows.items())
        return {
            "results": [_row(columns, key, rows[key]) for key in sorted(rows)],
            "totals": [_total(key[0], totals[key]) for key in sorted(totals)],
        }


def _added(rows: Iterable[tuple[Key, _Figures]]) -> dict[Key, _Figures]:
    added: dict[Key, _Figures] = {}
    for key, figures in rows:
        added[key] = added[key] + figures if key in added else figures
    return added


def _row(columns: tuple[str, ...], key: Key, figures: _Figures) -> Row:
    groups = {name: str(value) for name, value in zip(columns, key, strict=True)}
    return cast("Row", {**groups, **_total(groups["currency"], figures)})


def _total(currency: str, figures: _Figures) -> Total:
    return {
        "currency": currency,
        "count": figures.count,
        "amount": money.format_amount(figures.amount, currency),
        "average": money.format_amount(figures.amount / figures.count, currency),
        "min": money.format_amount(figures.amount_min, currency),
        "max": money.format_amount(figures.amount_max, currency),
    }


def _rows(selection: Selection, grouping: Grouping, using: str) -> list[tuple[Key, _Figures]]:
    """Return what cells and payouts say: of one key there may be a row from each."""
    if selection.of_cells is None:
        everything = rollup_coverage.all_live(selection.created_after, selection.created_before)
        return list(_of_payouts(selection, grouping, everything, using))
    with snapshots.reading(using):
        coverage = _coverage(selection, grouping, using)
        cells = _of_cells(selection, grouping, coverage, using)
        return [*cells, *_of_payouts(selection, grouping, coverage, using)]


def _coverage(selection: Selection, grouping: Grouping, using: str) -> Coverage:
    """Divide what is asked for. Where no day is closed yet, or days are not those of UTC, all of it is read live."""
    start, end = selection.created_after, selection.created_before
    marks = RollupMark.objects.filter(merchant_id=selection.merchant_id, mode=selection.mode)
    marked = ArraySubquery(marks.order_by("day").values("day").distinct())
    state = RollupState.objects.using(using).values_list("closed_before", marked).first()
    if state is None:
        return rollup_coverage.all_live(start, end)
    closed_before, marked_days = state
    coverage = rollup_coverage.divide(start, end, closed_before=closed_before, marked_days=marked_days)
    if "day" in grouping.groups and not _has_days_of_utc(grouping.zone, coverage):
        return rollup_coverage.all_live(start, end)
    return coverage


def _has_days_of_utc(zone: tzinfo, coverage: Coverage) -> bool:
    """Tell whether the days of the cells begin and end in the zone when they do in UTC."""
    first, end = (rollup_coverage.midnight(day) for day in (coverage.first_day, coverage.end_day))
    return zone is UTC or time_zones.offsets_of(zone).are_none(first, end)


def _of_cells(
    selection: Selection, grouping: Grouping, coverage: Coverage, using: str
) -> Iterator[tuple[Key, _Figures]]:
    if not coverage.has_cells:
        return
    cells = RollupCell.objects.using(using).filter(
        selection.of_cells or Q(),
        merchant_id=selection.merchant_id,
        mode=selection.mode,
        day__gte=coverage.first_day,
        day__lt=coverage.end_day,
    )
    rows = cells.exclude(day__in=coverage.marked_days).values_list(*grouping.columns)
    yield from _figures(rows.annotate(Sum("amount"), Min("amount_min"), Max("amount_max"), rows=Sum("count")))


def _of_payouts(
    selection: Selection, grouping: Grouping, coverage: Coverage, using: str
) -> Iterator[tuple[Key, _Figures]]:
    if not coverage.live:
        return
    payouts = selection.at_any_time.using(using).order_by()
    if "day" in grouping.groups:
        payouts = payouts.annotate(day=_LocalDay(grouping.zone))
    # A range by itself is read from the index `payout_listed` alone. So each is a query of its own, united with the
    # others, unless there are so many that planning them would take longer.
    ranges = [coverage.live[number::_QUERIES_MAX] for number in range(min(_QUERIES_MAX, len(coverage.live)))]
    first, *others = (
        payouts.filter(reduce(operator.or_, map(_is_within, some)))
        .values_list(*grouping.columns)
        .annotate(Sum("amount"), Min("amount"), Max("amount"), rows=Count("*"))
        for some in ranges
    )
    yield from _figures(first.union(*others, all=True) if others else first)


def _is_within(limits: Range) -> Q:
    after = Q() if limits.start is None else Q(created_at__gte=limits.start)
    return after & (Q() if limits.end is None else Q(created_at__lt=limits.end))


def _figures(rows: QuerySet[Any, Any]) -> Iterator[tuple[Key, _Figures]]:
    """Read the rows, up to one more than there may be."""
    for *key, amount, amount_min, amount_max, count in rows[: ROWS_MAX + 1]:
        yield tuple(key), _Figures(int(count), amount, amount_min, amount_max)
