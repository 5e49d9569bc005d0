"""The roll-up: counts and sums of a merchant's payouts for each past day. payouts/summaries/rollup.py keeps it right.

Only SQL writes the rows. They have no foreign key to merchants: they can be rebuilt from the payouts at any time, so
they must never block another change.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from payouts import limits

#: Enough for the sum of any number of payouts, each below 10^12 with four decimals.
SUM_DIGITS_MAX = 34


class RollupCell(models.Model):
    """Count, sum and extremes of one merchant's payouts of one day that have status, currency and provider in common.

    Without payouts there is no cell. Payouts that the merchant has deleted do not count.
    """

    # The primary key is the index that serves the reads: all cells of a merchant and mode, by day.
    pk = models.CompositePrimaryKey("merchant_id", "mode", "day", "status", "currency", "provider")
    merchant_id = models.UUIDField()
    mode = models.CharField(max_length=limits.MODE_LENGTH_MAX)
    #: Day of the payouts' creation, in UTC.
    day = models.DateField()
    status = models.CharField(max_length=limits.STATUS_LENGTH_MAX)
    currency = models.CharField(max_length=limits.CURRENCY_LENGTH)
    provider = models.CharField(max_length=limits.PROVIDER_LENGTH_MAX)
    count = models.BigIntegerField()
    amount = models.DecimalField(max_digits=SUM_DIGITS_MAX, decimal_places=4)
    amount_min = models.DecimalField(max_digits=16, decimal_places=4)
    amount_max = models.DecimalField(max_digits=16, decimal_places=4)

    def __str__(self) -> str:
        return f"{self.count} {self.status} of {self.day} in {self.currency}"


class RollupMark(models.Model):
    """Marks the cells of a day as out of date. A trigger adds it with each change of a payout of a past day.

    Marks are only added, so no transaction waits. The process that rebuilds the cells deletes the marks it saw.
    """

    merchant_id = models.UUIDField()
    mode = models.CharField(max_length=limits.MODE_LENGTH_MAX)
    day = models.DateField()

    class Meta:
        indexes: ClassVar = [
            # The days of a merchant and mode that are out of date: for summaries, and to delete them.
            models.Index(fields=["merchant_id", "mode", "day"], name="rollup_mark_of_day"),
        ]

    def __str__(self) -> str:
        return f"{self.merchant_id} {self.mode} {self.day}"


class RollupState(models.Model):
    """Progress of the roll-up: one row, or none before the first closed day."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    #: Only earlier days are read from their cells (unless there is a mark).
    closed_before = models.DateField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(id=1), name="rollup_state_is_one"),
        ]

    def __str__(self) -> str:
        return f"closed before {self.closed_before}"
