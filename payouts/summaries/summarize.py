"""Counts and sums of a selection. Closed days come from the roll-up, the rest from the payouts.

Amounts are never added across currencies: each row has one currency.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from functools import reduce
from typing import Any, Final, NotRequired, TypedDict, cast

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, DateField, Func, Max, Min, Q, QuerySet, Sum

from payouts import errors, money
from payouts.filters.selection import Selection, finding
from payouts.models import RollupCell, RollupMark, RollupState
from payouts.summaries import coverage, time_zones
from payouts.summaries.coverage import Coverage, Range
from postgres import snapshots
from rest.pacing import paced

#: Columns to group by, in the order of sorting.
COLUMNS: Final = ("day", "status", "currency", "provider")
DEFAULT_GROUPS: Final = frozenset({"status", "currency"})
#: Limit of a response: 2 MB of JSON, or a year by day with 27 rows each.
ROWS_MAX: Final = 10_000
# Queries in one UNION.
_QUERIES_MAX: Final = 20
# Digits of the arithmetic: 34 for a sum, and enough decimals to round an average correctly.
_DIGITS: Final = 60

Key = tuple[Any, ...]


class _LocalDay(Func):
    """The day on which a payout was created, in a time zone."""

    output_field = DateField()

    def __init__(self, zone: tzinfo) -> None:
        super().__init__("created_at")
        self.offsets = None if zone is UTC else time_zones.offsets_of(zone)

    # It ignores the options of Func that the stubs name.
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
    """The columns that split the rows (always with currency), and the time zone of days."""

    groups: frozenset[str] = DEFAULT_GROUPS
    zone: tzinfo = UTC

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name in COLUMNS if name in self.groups or name == "currency")


class Total(TypedDict):
    """Payouts of one currency: count, and sum, average, least and greatest amount in its units."""

    currency: str
    count: int
    amount: str
    #: Rounded half to even, to the decimals of the currency.
    average: str
    min: str
    max: str


class Row(Total):
    """The same for one group. No fees: the platform does not charge any yet."""

    #: In the requested time zone, such as 2026-11-23.
    day: NotRequired[str]
    status: NotRequired[str]
    provider: NotRequired[str]


class Summary(TypedDict):
    """Rows ordered by day, status, currency and provider, and totals of each currency."""

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
    """Return the summary of the selection, exact as of one moment.

    Raises SummaryTooLarge for more than ROWS_MAX rows.
    """
    columns = grouping.columns
    currency_at = columns.index("currency")
    using = selection.at_any_time.db
    with localcontext(prec=_DIGITS, rounding=ROUND_HALF_EVEN), finding(using):
        rows = _added(_rows(selection, grouping, using))
        if len(rows) > ROWS_MAX:
            raise errors.SummaryTooLarge
        totals = _added(((key[currency_at],), figures) for key, figures in rows.items())
        return {
            "results": [_row(columns, key, rows[key]) for key in paced(sorted(rows))],
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
    """Return the rows of cells and payouts. Both may have a row of one key."""
    with snapshots.reading(using, statement_seconds_max=settings.REPORT_TIMEOUT_SECONDS):
        if not selection.is_of_cells:
            everything = coverage.all_live(selection.created_after, selection.created_before)
            return list(_of_payouts(selection, grouping, everything, using))
        covered = _coverage(selection, grouping, using)
        cells = _of_cells(selection, grouping, covered, using)
        return [*cells, *_of_payouts(selection, grouping, covered, using)]


def _coverage(selection: Selection, grouping: Grouping, using: str) -> Coverage:
    """Divide the range. All of it is live if no day is closed yet, or the zone's days are not those of UTC."""
    start, end = selection.created_after, selection.created_before
    marks = RollupMark.objects.filter(merchant_id=selection.merchant_id, mode=selection.mode)
    marked = ArraySubquery(marks.order_by("day").values("day").distinct())
    state = RollupState.objects.using(using).values_list("closed_before", marked).first()
    if state is None:
        return coverage.all_live(start, end)
    closed_before, marked_days = state
    covered = coverage.divide(start, end, closed_before=closed_before, marked_days=marked_days)
    if "day" in grouping.groups and not _has_days_of_utc(grouping.zone, covered):
        return coverage.all_live(start, end)
    return covered


def _has_days_of_utc(zone: tzinfo, covered: Coverage) -> bool:
    """Return whether the days of the cells are the same in the zone as in UTC."""
    first, end = (coverage.midnight(day) for day in (covered.first_day, covered.end_day))
    return zone is UTC or time_zones.offsets_of(zone).are_none(first, end)


def _of_cells(
    selection: Selection, grouping: Grouping, covered: Coverage, using: str
) -> Iterator[tuple[Key, _Figures]]:
    if not covered.has_cells:
        return
    cells = selection.cells_at_any_time(RollupCell.objects.using(using)).filter(
        merchant_id=selection.merchant_id,
        mode=selection.mode,
        day__gte=covered.first_day,
        day__lt=covered.end_day,
    )
    rows = cells.exclude(day__in=covered.marked_days).values_list(*grouping.columns)
    yield from _figures(rows.annotate(Sum("amount"), Min("amount_min"), Max("amount_max"), rows=Sum("count")))


def _of_payouts(
    selection: Selection, grouping: Grouping, covered: Coverage, using: str
) -> Iterator[tuple[Key, _Figures]]:
    if not covered.live:
        return
    payouts = selection.at_any_time.using(using).order_by()
    if "day" in grouping.groups:
        payouts = payouts.annotate(day=_LocalDay(grouping.zone))
    # A single range is read from the index `payout_listed` alone. So each range is a query in a UNION, unless there are
    # so many that planning would take longer.
    ranges = [covered.live[number::_QUERIES_MAX] for number in range(min(_QUERIES_MAX, len(covered.live)))]
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
    """Read up to ROWS_MAX + 1 rows."""
    for *key, amount, amount_min, amount_max, count in paced(rows[: ROWS_MAX + 1]):
        yield tuple(key), _Figures(int(count), amount, amount_min, amount_max)
